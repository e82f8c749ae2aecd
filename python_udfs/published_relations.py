"""Which relations are published, and which of them a run has brought up to date.

Published are the public models, and the relations that these read: views are published as views,
with all that they read in turn, and everything else as a table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

#: Unit of a table: a row is a unit of its own.
WHOLE_ROW = "*"
#: Tag of models that are made apart from all others: what they read of these they read as the last
#: main build left it.
APART = "streaming"


@dataclass(frozen=True)
class Relation:
    """A relation of the project.

    Attributes
    ----------
    unit : tuple of str
        The columns that make a unit: rows that are the same as long as these are. Empty where the
        table is copied as a whole; ``WHOLE_ROW`` where all columns do.
    """

    schema: str
    name: str
    is_view: bool
    unit: tuple[str, ...]

    @property
    def place(self) -> tuple[str, str]:
        """Its schema and name."""
        return (self.schema, self.name)


class Project:
    """What publishing has to know of the graph of a dbt project.

    Parameters
    ----------
    nodes : mapping
        dbt's ``graph.nodes``: nodes by their id.
    schema : str
        The public schema.
    """

    def __init__(self, nodes: Mapping[str, Mapping[str, Any]], schema: str):
        self._nodes = {
            key: node
            for key, node in nodes.items()
            if node["resource_type"] in ("model", "seed", "snapshot")
            # Where this project is a package, the other one's models are inputs.
            and node.get("package_name", "ml_monitoring") == "ml_monitoring"
        }
        self._restricted = f"{schema}_restricted"
        self.public = sorted(
            key
            for key, node in self._nodes.items()
            if node["schema"] == schema and meta_of(node).get("is_published", True)
        )

    def relation(self, key: str) -> Relation:
        """Return the relation of a node."""
        node = self._nodes[key]
        return Relation(
            schema=node["schema"],
            name=node["alias"],
            is_view=node["config"]["materialized"] == "view",
            unit=tuple(meta_of(node).get("unit") or ()),
        )

    def reads(self, keys: Iterable[str]) -> list[str]:
        """Return some nodes with all that has to be published for them, readers last."""
        ordered: dict[str, None] = {}

        def visit(key: str) -> None:
            if key in ordered or key not in self._nodes:
                return
            kind = self._nodes[key]["config"]["materialized"]
            if kind in ("view", "ephemeral"):
                for parent in self._parents(key):
                    visit(parent)
            if kind != "ephemeral":
                ordered[key] = None

        for key in keys:
            visit(key)
        return list(ordered)

    def mistakes(self) -> list[str]:
        """Return what cannot be published as it is, in words."""
        found = []
        for key in self.public:
            for read in self.reads([key]):
                node = self._nodes[read]
                name = node["alias"]
                if node["schema"] == self._restricted:
                    found.append(
                        f"`{self._nodes[key]['alias']}` reads `{name}`, which is restricted. Let it"
                        " read a summary in the schema internal that holds nothing of what services"
                        " logged; or keep it out of the published file:"
                        " `config: {meta: {is_published: false}}`."
                    )
                elif meta_of(node).get("is_published") is False:
                    found.append(
                        f"`{self._nodes[key]['alias']}` reads `{name}`, which has"
                        " `is_published: false`. Keep both out of the published file, or neither."
                    )
                elif node["config"]["materialized"] == "incremental" and "unit" not in meta_of(
                    node
                ):
                    found.append(
                        f"`{name}` is incremental and published, and nothing says which of its rows"
                        " are new. Name the columns that rows have in common that are replaced"
                        f" together: `config: {{meta: {{unit: [event_date, revision]}}}}`;"
                        " `[]` copies it as a whole, where it is small."
                    )
                found += [
                    f"`{name}` is a view that reads the source `{parent.split('.', 2)[2]}`, which"
                    " is not published. Make it a table."
                    for parent in self._parents(read)
                    if node["config"]["materialized"] == "view" and parent.startswith("source.")
                ]
        return list(dict.fromkeys(found))

    def is_made_of(self, key: str, built: set[str]) -> bool:
        """Whether a node and every model that it is made from, near or far, are among some.

        Of a node that is made apart, only models that are so too count.
        """
        seen, waiting = {key}, [key]
        is_apart = self._is_apart(key)
        while waiting:
            node = waiting.pop()
            counts = self._is_apart(node) or not is_apart
            if self._nodes[node]["resource_type"] == "model" and counts and node not in built:
                return False
            news = {parent for parent in self._parents(node) if parent in self._nodes} - seen
            seen |= news
            waiting += news
        return True

    def _is_apart(self, key: str) -> bool:
        return APART in self._nodes[key].get("tags", ())

    def _parents(self, key: str) -> list[str]:
        return self._nodes[key].get("depends_on", {}).get("nodes", [])


def meta_of(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the ``meta`` of a node's configuration."""
    return node["config"].get("meta") or {}


@dataclass(frozen=True)
class Plan:
    """What a run publishes.

    Attributes
    ----------
    fresh : list of str
        Public nodes that it has brought up to date.
    moved : set of str
        Nodes that are published as the run has made them; all others stay as they are published.
    kept : list of str
        Public nodes that stay as they are published.
    problem : str or None
        Why nothing can be published, in words.
    """

    fresh: list[str]
    kept: list[str]
    problem: str | None = None
    moved: frozenset[str] = frozenset()

    @property
    def is_whole(self) -> bool:
        """Whether everything is published anew."""
        return not self.kept


def plan(project: Project, statuses: Mapping[str, str], held: set[tuple[str, str]]) -> Plan:
    """Decide what a run publishes: all that it has made from start to end, if nothing mixes.

    Parameters
    ----------
    project : Project
    statuses : mapping
        What became of each node of the run, by its id.
    held : set of (schema, name)
        The relations that are published now.
    """
    if any(status in ("error", "skipped") for status in statuses.values()):
        return Plan([], [], "the build did not get through")
    built = {key for key, status in statuses.items() if status == "success"}
    fresh = [key for key in project.public if project.is_made_of(key, built)]
    kept = [
        key for key in project.public if key not in fresh and project.relation(key).place in held
    ]
    if not fresh:
        is_public_built = any(key in built for key in project.public)
        problem = "no public table was built together with all that it is made from"
        return Plan([], kept, problem if is_public_built else None)
    moved = frozenset(project.reads(fresh)) & built
    return Plan(fresh, kept, mixture(project, fresh, kept, moved, held), moved)


def mixture(
    project: Project,
    fresh: list[str],
    kept: list[str],
    moved: frozenset[str],
    held: set[tuple[str, str]],
) -> str | None:
    """Say what would be of two builds if only some public nodes were published anew."""
    for key in kept:
        shared = [read for read in project.reads([key]) if read in moved]
        if shared:
            return (
                f"`{project.relation(key).name}`, which was not built, reads"
                f" `{project.relation(shared[0]).name}`, which was"
            )
    wanted = {project.relation(key).place for key in project.reads(fresh + kept)}
    needed = wanted - {project.relation(key).place for key in moved}
    if needed and not held:
        return "only a part of the project was built, and it reads what no build has published yet"
    if kept and not needed <= held <= wanted:
        return "the project has changed since, and only a part of it was built"
    return None
