"""A DuckDB file that others read at any moment while the next version of it is written.

There are two files: the published one, and a spare with a hidden name beside it. Only the spare is
written to; then the two swap names. Who has the published file open keeps reading what is now the
spare, undisturbed. If they still do when the spare is written to the next time, it is given up to
them (a file without a name lives until it is closed), and a copy of the published file takes its
place. A process that is killed leaves at worst files that the next one removes.
"""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
from pathlib import Path

import duckdb

#: What a connection calls the published file and the spare.
CURRENT = "ml_monitoring_current"
SPARE = "ml_monitoring_spare"
#: Each published file holds a table of this name; by it a file is known as one of ours.
MARK = "published_build"


class ForeignFileError(Exception):
    """There is a file at the published path that this project did not publish."""


class HeldFileError(Exception):
    """The system does not let go of the published file while somebody has it open."""


class DoubleBuffer:
    """The published file, its spare, and a connection that sees both.

    Parameters
    ----------
    connection : DuckDBPyConnection
        With no transaction open.
    path : Path
        The published file, which need not exist yet. Its folder has to.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, path: Path):
        self._connection = connection
        self.published = path.resolve()
        self.spare = self._beside("spare")
        self._previous = self._beside("previous")
        self._copy = self._beside("copy")
        self._partial = self._beside("partial")

    def _beside(self, use: str) -> Path:
        return self.published.with_name(f".{self.published.stem}.{use}.duckdb")

    def attach_current(self) -> bool:
        """Attach the published file as ``CURRENT``, to read; return whether there is one.

        Raises
        ------
        ForeignFileError
            If it is damaged or somebody else's: it may be dear to somebody.
        """
        if not self.published.exists():
            return False
        try:
            self._attach(self.published, CURRENT, "read_only")
        except duckdb.Error as error:
            if "Could not set lock" not in str(error):
                raise ForeignFileError(str(error)) from error
            # Somebody has opened it to write. Nobody should, but its content is still ours.
            shutil.copyfile(self.published, self._copy)
            try:
                self._attach(self._copy, CURRENT, "read_only")
            except duckdb.Error as damage:
                raise ForeignFileError(str(damage)) from damage
        if not self._is_ours(CURRENT):
            self.detach()
            raise ForeignFileError(f"it has no table {MARK}")
        return True

    def attach_spare(self, *, is_empty: bool = False) -> None:
        """Attach the spare as ``SPARE``, to write: as it was left, or else made anew.

        Parameters
        ----------
        is_empty : bool
            Whether to begin with an empty file.
        """
        if not is_empty and self.published.exists() and self.spare.exists():
            # A reader that holds it, damage, a file that is not ours: each is a DuckDB error.
            with contextlib.suppress(duckdb.Error):
                self._attach(self.spare, SPARE)
                if self._is_ours(SPARE):
                    return
        self._detach(SPARE)
        discard(self.spare)
        if not is_empty and self.published.exists():
            # Half a copy must not have the name of the spare.
            shutil.copyfile(self.published, self._partial)
            self._partial.replace(self.spare)
        self._attach(self.spare, SPARE)

    def swap(self) -> None:
        """Publish the spare, which has been written to and is complete.

        Raises
        ------
        HeldFileError
            Where the system (Windows) cannot replace a file that is open.
        """
        self._connection.execute(f"checkpoint {SPARE}")
        self.detach()
        if any(logs_of(self.spare)):
            raise RuntimeError(f"DuckDB has not finished writing {self.spare}")
        with contextlib.suppress(FileNotFoundError):
            keep_permissions(self.published, self.spare)
        # What somebody has written to the old file does not fit the new one.
        for log in logs_of(self.published):
            log.unlink(missing_ok=True)
        # At each moment there is a published file. Without hard links the old one is given up.
        with contextlib.suppress(OSError):
            os.link(self.published, self._previous)
        try:
            self.spare.replace(self.published)
        except PermissionError as error:
            raise HeldFileError(str(error)) from error
        with contextlib.suppress(FileNotFoundError):
            self._previous.replace(self.spare)

    def detach(self) -> None:
        """Let go of both files, and remove what only this or a killed process needed."""
        self._detach(SPARE)
        self._detach(CURRENT)
        # The previous one may be the published file by another name: it must never be written to.
        for path in (self._previous, self._copy, self._partial):
            discard(path)

    def _attach(self, path: Path, name: str, *options: str) -> None:
        location = str(path).replace("'", "''")
        self._connection.execute(
            f"attach '{location}' as {name} ({', '.join(['type duckdb', *options])})"
        )

    def _detach(self, name: str) -> None:
        self._connection.execute(f"detach database if exists {name}")

    def _is_ours(self, name: str) -> bool:
        return bool(
            self._connection.execute(
                "select 1 from duckdb_tables() where database_name = ? and table_name = ?",
                [name, MARK],
            ).fetchall()
        )


def logs_of(path: Path) -> list[Path]:
    """Return the write-ahead logs of a database that are there."""
    return sorted(path.parent.glob(f"{glob.escape(path.name)}.wal*"))


def discard(path: Path) -> None:
    """Remove a database with its logs, where there is one; readers that hold it keep it."""
    # The logs last: without its database a log is nothing, but not the other way round.
    path.unlink(missing_ok=True)
    for log in logs_of(path):
        log.unlink(missing_ok=True)


def keep_permissions(model: Path, path: Path) -> None:
    """Give a file the group and the permissions of another, which somebody may have set."""
    with contextlib.suppress(AttributeError, PermissionError):
        os.chown(path, -1, model.stat().st_gid)
    shutil.copymode(model, path)
