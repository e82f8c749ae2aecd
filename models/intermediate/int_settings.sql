-- Grain: one row, what the statistics are computed with, for the Python models.
select {{ settings_columns() }}
