-- Grain: one row, the moments that the build looks back from, in UTC.
select
    timestamp '{{ as_of() }}' as as_of,
    -- A clock may be a little ahead; what is dated later than this is held back.
    timestamp '{{ held_after() }}' as held_after
