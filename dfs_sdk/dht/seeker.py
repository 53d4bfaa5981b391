"""Runs lookups: asks whom the state machine names, checks what comes back, keeps the routing table current.

Every answer of a peer passes here: contacts are used only at addresses the book finds safe, records only when verified.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from dfs_sdk.dht.config import DhtConfig
from dfs_sdk.dht.lookup import Lookup
from dfs_sdk.dht.messages import FindNode, FindRecord, Found, Record, RecordKind
from dfs_sdk.dht.records import verify_record
from dfs_sdk.dht.routing import RoutingTable
from dfs_sdk.errors import DeadlineError, DfsError, PeerUnreachableError, ProtocolError, RemoteError
from dfs_sdk.ids import NetworkId, NodeId
from dfs_sdk.rpc.base import RpcService
from dfs_sdk.runtime.ports import Clock
from dfs_sdk.runtime.tasks import TaskScope
from dfs_sdk.transport.contact import Contact

logger = logging.getLogger(__name__)

# Seeds of a widened lookup, in buckets.
WIDE_SEEDS = 4

Question = FindNode | FindRecord


@dataclass(slots=True)
class Findings:
    """What a lookup brought.

    Attributes:
        closest: The nodes closest to the target that answered, closest first.
        tokens: The write tokens they gave.
        records: Verified records under the key asked for, the newest of each owner; withdrawn ones, too.
        checked: Signatures of all records that were verified: most answers hold the same ones.
        crowded: Whether the region looks as if somebody crowds it.
        cut_short: Whether some answer was as long as answers may be: its sender knows more nodes.
        met_everybody: Whether every node that anybody knows was asked.
    """

    closest: list[Contact] = field(default_factory=list)
    tokens: dict[NodeId, bytes] = field(default_factory=dict)
    records: dict[NodeId, Record] = field(default_factory=dict)
    checked: set[bytes] = field(default_factory=set)
    crowded: bool = False
    cut_short: bool = False
    met_everybody: bool = False


class Seeker:
    """Asks nodes for nodes and records.

    Args:
        rpc: Calls them.
        table: The routing table: seeds come from it, answers go into it.
        network_id: Records count only for this network.
        clock: Wall time for expiry, monotonic time for the table.
        config: Limits.
        serves: Says whether we ask others to enter us in their tables.
        network_size: Estimates how many nodes there are.
    """

    def __init__(
        self,
        *,
        rpc: RpcService,
        table: RoutingTable,
        network_id: NetworkId,
        clock: Clock,
        config: DhtConfig,
        serves: Callable[[], bool],
        network_size: Callable[[], float],
    ) -> None:
        self._rpc = rpc
        self._table = table
        self._network_id = network_id
        self._clock = clock
        self._config = config
        self._serves = serves
        self._network_size = network_size

    async def find_node(self, target: bytes) -> Findings:
        """Find the nodes closest to a target."""
        question = FindNode(target=target, serves=self._serves())
        return await self._seek(target, question, content=False)

    async def find_place(self, key: bytes) -> Findings:
        """Find the nodes that should hold a key, each with its write token."""
        question = FindNode(target=key, serves=self._serves())
        return await self._seek(key, question, content=True)

    async def find_records(self, kind: RecordKind, key: bytes) -> Findings:
        """Find records, and the nodes that should hold them."""
        question = FindRecord(kind=kind, key=key, serves=self._serves())
        return await self._seek(key, question, content=True)

    async def ask(self, contact: Contact, question: Question) -> Found | None:
        """Ask one node; None if it does not answer usefully. The table learns either way."""
        node_id = contact.node_id
        try:
            answer = await self._rpc.call(node_id, question, timeout=self._config.query_timeout)
        except (PeerUnreachableError, DeadlineError):
            self._table.failed(node_id)
            return None
        except ProtocolError:
            self._table.remove(node_id)
            return None
        except RemoteError as error:
            # It is there, it only does not want to: no reason to drop it from the table.
            logger.debug("%s", error)
            return None
        address = self._rpc.address(node_id)
        if address is not None and answer.reply.serves:
            seen = Contact(ed=contact.ed, x=contact.x, addresses=(address,))
            self._table.answered(seen, self._clock.monotonic())
        return answer.reply

    def usable(self, contacts: Iterable[Contact], source: NodeId) -> list[Contact]:
        """Learn the contacts a node named and return those that may be asked."""
        address = self._rpc.address(source)
        usable = []
        for contact in contacts:
            known = contact.node_id in self._rpc.book
            learned = address is not None and self._rpc.book.learn(contact, address)
            if learned or (known and contact.node_id != self._rpc.node_id):
                usable.append(contact)
        return usable

    async def _seek(self, target: bytes, question: Question, *, content: bool) -> Findings:
        lookup = Lookup(
            target,
            owner=self._rpc.node_id,
            seeds=self._table.closest(target, self._config.bucket_size),
            config=self._config,
            content=content,
        )
        findings = Findings()
        await self._run(lookup, question, findings)
        crowded = content and lookup.is_dense(self._network_size())
        if crowded or lookup.is_short:
            more = self._table.closest(target, WIDE_SEEDS * self._config.bucket_size)
            if crowded:
                logger.warning("the region of %s… is crowded: looking at twice as many nodes", target[:4].hex())
                lookup.widen(more)
            else:
                lookup.resume(more)
            await self._run(lookup, question, findings)
        findings.crowded = crowded
        findings.met_everybody = lookup.asked_everybody and not findings.cut_short
        self._table.looked_up(target, self._clock.monotonic())
        findings.closest = lookup.closest()
        return findings

    async def _run(self, lookup: Lookup, question: Question, findings: Findings) -> None:
        answers: asyncio.Queue[tuple[Contact, Found | None]] = asyncio.Queue()
        scope = TaskScope("lookup", on_error=_report)

        async def ask(contact: Contact) -> None:
            found: Found | None = None
            try:
                found = await self.ask(contact, question)
            except DfsError as error:
                logger.debug("lookup: %s", error)
            finally:
                # Also when something unforeseen went wrong: a lookup that waits for an answer must get one.
                answers.put_nowait((contact, found))

        try:
            async with asyncio.timeout(self._config.lookup_timeout):
                while not lookup.finished:
                    for contact in lookup.next_queries():
                        scope.spawn("ask", ask(contact))
                    contact, found = await answers.get()
                    self._take(lookup, question, contact, found, findings)
        except TimeoutError:
            logger.debug("a lookup took over %.3g s and goes by what it has", self._config.lookup_timeout)
        finally:
            await scope.close()

    def _take(
        self, lookup: Lookup, question: Question, contact: Contact, found: Found | None, findings: Findings
    ) -> None:
        node_id = contact.node_id
        if found is None:
            lookup.failed(node_id)
            return
        lookup.answered(node_id, self.usable(found.contacts, node_id))
        findings.tokens[node_id] = found.token
        findings.cut_short |= len(found.contacts) >= self._config.bucket_size
        if isinstance(question, FindRecord):
            self._take_records(question, found.records, node_id, findings)

    def _take_records(
        self, question: FindRecord, records: Sequence[Record], source: NodeId, findings: Findings
    ) -> None:
        for record in records:
            if record.signature in findings.checked:
                continue
            try:
                if (record.kind, record.key) != (question.kind, question.key):
                    raise ProtocolError("a record of another key than asked for")
                owner = verify_record(record, self._network_id, now_wall=self._clock.wall())
            except ProtocolError as error:
                # The rest of a liar's answer is not worth the signatures to check.
                logger.info("%s gave a bad record: %s", source.short, error)
                return
            findings.checked.add(record.signature)
            keep_newest(findings.records, owner, record)


def keep_newest(records: dict[NodeId, Record], owner: NodeId, record: Record) -> None:
    """Put a verified record in its owner's place if it is newer than what is there."""
    known = records.get(owner)
    if known is None or record.body.sequence > known.body.sequence:
        records[owner] = record


def _report(name: str, error: BaseException) -> None:
    logger.error("%s failed", name, exc_info=error)
