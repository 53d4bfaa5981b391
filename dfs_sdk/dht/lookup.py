"""One lookup: whom to ask next, when it is over, who is closest; pure.

The starting contacts are dealt out to d paths, and a node is asked on one path only, so that a liar leads one path
astray and no other. A path is over when its closest nodes have answered. A lookup for records then goes on until the
closest nodes of all paths together have answered: stopping at the first answer is what an attacker next to a key needs.

A node that keeps naming others which do not exist is no longer listened to.

Source: Maymounkov, Mazières, "Kademlia" (2002); Baumgart, Mies, "S/Kademlia" (2007), section 4.4 for the disjoint
paths; arXiv 2505.01139 for the attack on early termination.
"""

from __future__ import annotations

import heapq
from bisect import insort
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum

from dfs_sdk.dht.config import DhtConfig
from dfs_sdk.ids import NodeId
from dfs_sdk.transport.contact import Contact

ID_BITS = 256
# Candidates kept on one path, in buckets: further ones than that are never among the closest that answer.
PATH_BUCKETS = 4
# A region is suspicious when its nodes stand so much closer together than the network's size explains.
DENSITY_RATIO_MAX = 4.0
# Fewer distances than this say little about density.
DENSITY_SAMPLE_MIN = 8

_Place = tuple[int, NodeId]


class _State(Enum):
    ASKED = "asked"
    ANSWERED = "answered"
    FAILED = "failed"


@dataclass(slots=True)
class _Candidate:
    """A node somebody named.

    Attributes:
        contact: How to reach it.
        named_by: Who named it; None for our own table.
        path: The path it is asked on, once it is.
        state: What came of asking; None before.
    """

    contact: Contact
    named_by: set[NodeId | None]
    path: int = -1
    state: _State | None = None


@dataclass(slots=True)
class _Path:
    """One path's candidates, closest first, and its questions under way."""

    order: list[_Place] = field(default_factory=list)
    under_way: int = 0


class Lookup:
    """The state of one lookup. Ask whom `next_queries` names; report with `answered` or `failed`; repeat.

    Args:
        target: What to get close to.
        owner: This node, which is never asked.
        seeds: Contacts to start from.
        config: Sizes and limits.
        content: Whether it is for records: more paths, and the whole region answers.
    """

    def __init__(
        self, target: bytes, *, owner: NodeId, seeds: Sequence[Contact], config: DhtConfig, content: bool = False
    ) -> None:
        self._target = int.from_bytes(target, "big")
        self._owner = owner
        self._config = config
        self._content = content
        self._region = config.bucket_size
        self._paths = [_Path() for _ in range(config.content_paths if content else config.paths)]
        self._candidates: dict[NodeId, _Candidate] = {}
        self._lies: Counter[NodeId] = Counter()
        self._asked = 0
        self._deal_out(seeds)

    @property
    def queries(self) -> int:
        """Questions asked so far."""
        return self._asked

    @property
    def finished(self) -> bool:
        """Whether nothing is left to ask or to wait for."""
        if any(path.under_way for path in self._paths):
            # Slow nodes that are further away than enough others do not hold the lookup up.
            enough = self._config.finish_count
            paths_over = all(self._over(path.order, enough, index) for index, path in enumerate(self._paths))
            return paths_over and (not self._content or self._over(self._merged(), self._region, None))
        return not self._wanted()

    def next_queries(self) -> list[Contact]:
        """Return whom to ask now; each counts as under way until it answered or failed."""
        queries = []
        for index, candidate in self._wanted():
            candidate.state, candidate.path = _State.ASKED, index
            self._paths[index].under_way += 1
            self._asked += 1
            queries.append(candidate.contact)
        return queries

    def answered(self, node_id: NodeId, contacts: Iterable[Contact]) -> None:
        """Take in an answer; one that was not asked for, or comes twice, is ignored."""
        path = self._settle(node_id, _State.ANSWERED)
        if path is None or self._is_liar(node_id):
            return
        for contact in tuple(contacts)[: self._config.bucket_size]:
            self._name(contact, node_id, path)

    def failed(self, node_id: NodeId) -> None:
        """Note that a node did not answer; those who named it are believed less."""
        if self._settle(node_id, _State.FAILED) is None:
            return
        for source in self._candidates[node_id].named_by:
            if source is not None:
                self._lies[source] += 1
                if self._is_liar(source):
                    self._forget_lies()

    def closest(self) -> list[Contact]:
        """Return the nodes that answered, closest first: as many as a bucket holds, or the widened region."""
        answered = [
            (self._distance(node_id), node_id)
            for node_id, candidate in self._candidates.items()
            if candidate.state is _State.ANSWERED
        ]
        return [self._candidates[node_id].contact for _, node_id in heapq.nsmallest(self._region, answered)]

    def is_dense(self, network_size: float) -> bool:
        """Say whether the region is much denser than a network of that size explains: somebody may crowd it."""
        distances = [self._distance(contact.node_id) for contact in self.closest()]
        return is_suspiciously_dense(distances, network_size)

    @property
    def asked_everybody(self) -> bool:
        """Whether no node is left that was named and not asked."""
        return all(candidate.state is not None for candidate in self._candidates.values())

    @property
    def is_short(self) -> bool:
        """Whether fewer nodes answered than the region should have: the seeds may all have been dead."""
        return sum(candidate.state is _State.ANSWERED for candidate in self._candidates.values()) < self._region

    def widen(self, seeds: Sequence[Contact]) -> None:
        """Ask twice as many of the closest nodes, so that those who crowd a region do not make up all of it.

        Args:
            seeds: Contacts from further around: the closest ones of our own table may all be of the crowd.
        """
        self._region *= 2
        self.resume(seeds)

    def resume(self, seeds: Sequence[Contact]) -> None:
        """Go on with more contacts to start from.

        A finished lookup may have questions under way, which nobody waits for: they may be asked again.
        """
        for candidate in self._candidates.values():
            if candidate.state is _State.ASKED:
                candidate.state = None
        for path in self._paths:
            path.under_way = 0
        self._deal_out(seeds)

    def _deal_out(self, seeds: Sequence[Contact]) -> None:
        """Give every path its share of the seeds, near ones and far ones."""
        ranked = sorted(seeds, key=lambda contact: self._distance(contact.node_id))
        for index, contact in enumerate(ranked):
            self._name(contact, None, self._paths[index % len(self._paths)])

    def _wanted(self) -> list[tuple[int, _Candidate]]:
        """Choose whom to ask: on each path, and when all are over, in the region."""
        room = self._config.queries_max - self._asked
        wanted: list[tuple[int, _Candidate]] = []
        chosen: set[NodeId] = set()
        for index, path in enumerate(self._paths):
            free = self._config.parallel - path.under_way
            for candidate in self._askable(path.order, self._config.finish_count, index, free, chosen):
                chosen.add(candidate.contact.node_id)
                wanted.append((index, candidate))
        if self._content and not wanted and not any(path.under_way for path in self._paths):
            most = self._config.parallel * len(self._paths)
            for number, candidate in enumerate(self._askable(self._merged(), self._region, None, most, chosen)):
                wanted.append((number % len(self._paths), candidate))
        return wanted[: max(room, 0)]

    def _askable(
        self, order: Iterable[_Place], enough: int, index: int | None, most: int, chosen: set[NodeId]
    ) -> list[_Candidate]:
        """Return up to `most` unasked candidates that are closer than the `enough`-th one that answered."""
        found: list[_Candidate] = []
        for _, node_id in order:
            if len(found) >= most or enough == 0:
                break
            candidate = self._candidates[node_id]
            if candidate.state is None and node_id not in chosen:
                found.append(candidate)
            elif candidate.state is _State.ANSWERED and index in (None, candidate.path):
                enough -= 1
        return found

    def _over(self, order: Iterable[_Place], enough: int, index: int | None) -> bool:
        """Say whether the `enough` closest candidates have all answered, leaving out those who failed."""
        for _, node_id in order:
            if enough == 0:
                return True
            candidate = self._candidates[node_id]
            if candidate.state is _State.FAILED or (
                candidate.state is not None and index not in (None, candidate.path)
            ):
                continue
            if candidate.state is not _State.ANSWERED:
                return False
            enough -= 1
        return True

    def _merged(self) -> Iterator[_Place]:
        """Iterate over the candidates of all paths, closest first, each once."""
        last: _Place | None = None
        for place in heapq.merge(*(path.order for path in self._paths)):
            if place != last:
                yield place
            last = place

    def _name(self, contact: Contact, source: NodeId | None, path: _Path) -> None:
        node_id = contact.node_id
        if node_id == self._owner:
            return
        candidate = self._candidates.get(node_id)
        if candidate is None:
            candidate = self._candidates[node_id] = _Candidate(contact, set())
        candidate.named_by.add(source)
        place = (self._distance(node_id), node_id)
        if place in path.order:
            return
        insort(path.order, place)
        if len(path.order) > PATH_BUCKETS * self._config.bucket_size:
            path.order.pop()

    def _settle(self, node_id: NodeId, state: _State) -> _Path | None:
        candidate = self._candidates.get(node_id)
        if candidate is None or candidate.state is not _State.ASKED:
            return None
        candidate.state = state
        path = self._paths[candidate.path]
        path.under_way -= 1
        return path

    def _is_liar(self, node_id: NodeId) -> bool:
        return self._lies[node_id] > self._config.lies_max

    def _forget_lies(self) -> None:
        """Drop unasked candidates that only liars named."""
        for path in self._paths:
            path.order = [place for place in path.order if not self._only_lied_about(place[1])]

    def _only_lied_about(self, node_id: NodeId) -> bool:
        candidate = self._candidates[node_id]
        return candidate.state is None and all(
            source is not None and self._is_liar(source) for source in candidate.named_by
        )

    def _distance(self, node_id: NodeId) -> int:
        return self._target ^ int.from_bytes(node_id, "big")


def estimate_network_size(distances: Sequence[int]) -> float:
    """Estimate how many nodes there are from the distances of the closest ones to a place that nobody chose.

    Args:
        distances: XOR distances of the n closest nodes, ascending, none missing.

    Source: order statistics of a uniform distribution: the n-th of N is expected at n / (N + 1).
    """
    if not distances:
        return 1.0
    return max(float(len(distances)), len(distances) * 2.0**ID_BITS / (distances[-1] + 1))


def is_suspiciously_dense(distances: Sequence[int], network_size: float) -> bool:
    """Say whether nodes stand more than `DENSITY_RATIO_MAX` times closer together than `network_size` explains."""
    if len(distances) < DENSITY_SAMPLE_MIN:
        return False
    return estimate_network_size(distances) > DENSITY_RATIO_MAX * max(network_size, float(len(distances)))
