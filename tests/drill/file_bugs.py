"""Bugs that lose or give away files, and what people say and see."""

from __future__ import annotations

from tests.drill.planting import Bug, Edit, lines

FILE_BUGS = (
    Bug(
        name="put returns below the quorum",
        edits=(
            Edit(
                path="dfs_sdk/replication/spreader.py",
                old=lines(
                    "        if len(confirmed) < self.policy.write_quorum:",
                    "            raise too_few(",
                ),
                new=lines(
                    "        if len(confirmed) < self.policy.write_quorum - 1:",
                    "            raise too_few(",
                ),
            ),
            Edit(
                path="dfs_sdk/replication/spreader.py",
                old=lines(
                    "        if len(confirmed) < self.policy.write_quorum:",
                    "            return",
                ),
                new=lines(
                    "        if len(confirmed) < self.policy.write_quorum - 1:",
                    "            return",
                ),
            ),
            Edit(
                path="dfs_sdk/replication/spreader.py",
                old="hosts_wanted = min(self.policy.write_quorum, ",
                new="hosts_wanted = min(self.policy.write_quorum - 1, ",
            ),
        ),
        tests=(
            "tests/unit/replication/test_spreading.py::test_too_few_confirmations_are_told_after_everybody_was_asked",
        ),
        seeds=True,
    ),
    Bug(
        name="the writer's own copy counts toward the quorum",
        edits=(
            Edit(
                path="dfs_sdk/replication/spreader.py",
                old="[receipt.peer for receipt in self.receipts if receipt.peer != self.me]",
                new="[receipt.peer for receipt in self.receipts]",
            ),
        ),
        tests=(
            "tests/unit/replication/test_spreading.py::test_too_few_confirmations_are_told_after_everybody_was_asked",
        ),
        seeds=True,
    ),
    Bug(
        name="trimmed below the copies wanted",
        edits=(
            Edit(
                path="dfs_sdk/replication/planner.py",
                old="return len(_relied_on(copy, observation)) >= copy.chunk.replicas",
                new="return len(_relied_on(copy, observation)) >= copy.chunk.replicas - 1",
            ),
        ),
        tests=("tests/unit/replication/test_planner.py::test_surplus_stays_as_long_as_there_is_a_doubt",),
    ),
    Bug(
        name="trimmed without the promise of those relied on",
        edits=(
            Edit(
                path="dfs_sdk/replication/keeper.py",
                old="answers and all(i in kept for kept in answers)",
                new="answers and any(i in kept for kept in answers)",
            ),
        ),
        tests=("tests/unit/replication/test_service.py::test_copy_is_kept_when_nobody_or_not_all_promise",),
    ),
    Bug(
        name="tombstone ignored",
        edits=(
            Edit(
                path="dfs_sdk/exchange/tombstones.py",
                old="return key is not None and removal_hash(key) == hash_of_key",
                new="return False",
            ),
        ),
        tests=("tests/unit/exchange/test_service.py::test_what_was_removed_cannot_be_pushed_back",),
    ),
    Bug(
        name="removal without the right key",
        edits=(
            Edit(
                path="dfs_sdk/exchange/tombstones.py",
                old="info is not None and not info.pinned and info.removal_hash == wanted",
                new="info is not None and not info.pinned",
            ),
        ),
        tests=("tests/unit/exchange/test_service.py::test_only_the_right_key_removes",),
    ),
    Bug(
        name="fetched chunk not held against its id",
        edits=(
            Edit(
                path="dfs_sdk/exchange/asking.py",
                old="return use(body) if blake3_256(body) == chunk_id else Miss.DAMAGED",
                new="return use(body)",
            ),
        ),
        tests=("tests/unit/exchange/test_damage.py::test_a_lying_source_is_passed_over_and_remembered",),
        seeds=True,
    ),
    Bug(
        name="chunk of another place in the file accepted",
        edits=(
            Edit(
                path="dfs_sdk/files/seal.py",
                old="return hkdf_sha256(keys.read_key, info=_CHUNK_INFO + number + salt)",
                new="return hkdf_sha256(keys.read_key, info=_CHUNK_INFO + salt)",
            ),
            Edit(
                path="dfs_sdk/files/seal.py",
                old="seal_once(_chunk_key(keys, number, salt), plaintext, _CHUNK_INFO + number)",
                new="seal_once(_chunk_key(keys, number, salt), plaintext, _CHUNK_INFO)",
            ),
            Edit(
                path="dfs_sdk/files/seal.py",
                old="open_once(_chunk_key(keys, number, salt), data, _CHUNK_INFO + number)",
                new="open_once(_chunk_key(keys, number, salt), data, _CHUNK_INFO)",
            ),
            Edit(
                path="dfs_sdk/files/seal.py",
                old="open_once_into(_chunk_key(keys, number, salt), data, _CHUNK_INFO + number, out)",
                new="open_once_into(_chunk_key(keys, number, salt), data, _CHUNK_INFO, out)",
            ),
        ),
        tests=("tests/unit/files/test_seal.py::test_a_chunk_does_not_open_at_another_place",),
    ),
    Bug(
        name="download leaves its folder",
        edits=(
            Edit(
                path="dfs_sdk/files/sink.py",
                old="return destination / safe_file_name(name) if",
                new="return destination / name if",
            ),
        ),
        tests=("tests/unit/files/test_destination.py::test_hostile_names_are_all_saved_inside_the_folder",),
    ),
    Bug(
        name="cancelled download keeps its file open",
        edits=(
            Edit(
                path="dfs_sdk/files/downloads.py",
                old=lines(
                    "            return await self._offload.run(sink.finish)",
                    "        finally:",
                    "            self._parts.discard(sink.part)",
                    "            await self._offload.run(sink.leave)",
                ),
                new=lines(
                    "            return await self._offload.run(sink.finish)",
                    "        finally:",
                    "            self._parts.discard(sink.part)",
                ),
            ),
        ),
        tests=("tests/unit/files/test_resume_and_cancel.py::test_cancelling_at_every_await_leaves_nothing_running",),
    ),
    Bug(
        name="cancelled put goes on in the background",
        edits=(
            Edit(
                path="dfs_sdk/replication/writer.py",
                old=lines(
                    "        except BaseException:",
                    "            task.cancel()",
                    "            raise",
                ),
                new=lines(
                    "        except BaseException:",
                    "            raise",
                ),
            ),
        ),
        tests=("tests/unit/replication/test_spreading.py::test_a_cancelled_spread_asks_nobody_else",),
    ),
    Bug(
        name="chat message shown twice",
        edits=(
            Edit(
                path="dfs_sdk/chat/room.py",
                old=lines(
                    "            if stream is None or stream.has(post.sequence):",
                    "                continue",
                    "            if post.sequence in stream.holes:",
                ),
                new=lines(
                    "            if stream is None:",
                    "                continue",
                    "            if stream.has(post.sequence) or post.sequence in stream.holes:",
                ),
            ),
            Edit(
                path="dfs_sdk/chat/room.py",
                old="if stream is None or entry.post.sequence in stream.posts:",
                new="if stream is None:",
            ),
        ),
        tests=("tests/unit/chat/test_room.py::test_every_order_of_arrival_shows_each_post_once_and_in_order",),
        seeds=True,
    ),
    Bug(
        name="chat message in another's name",
        edits=(
            Edit(
                path="dfs_sdk/chat/service.py",
                old=lines(
                    "            post.verify(self._network_id)",
                    "        for conversation, posts in rooms.items():",
                ),
                new="        for conversation, posts in rooms.items():",
            ),
        ),
        tests=("tests/unit/chat/test_hostile.py::test_nobody_speaks_for_another",),
    ),
    Bug(
        name="name not escaped in a card",
        edits=(
            Edit(
                path="dfs_sdk/views/html.py",
                old="return words.visible(name, length_max=text.NAME_LENGTH_MAX)",
                new="return Markup(words.visible(name, length_max=text.NAME_LENGTH_MAX))",
            ),
        ),
        tests=("tests/unit/views/test_html.py::test_hostile_text_is_only_text_in_every_card",),
    ),
    Bug(
        name="direction characters of a name shown as they are",
        edits=(
            Edit(
                path="dfs_sdk/wire/text.py",
                old='_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs",',
                new='_HIDDEN_CATEGORIES = frozenset({"Cc", "Cs",',
            ),
        ),
        tests=("tests/unit/wire/test_text.py::test_what_cannot_be_seen_becomes_visible",),
    ),
    Bug(
        name="formula in the heading of a CSV",
        edits=(
            Edit(
                path="dfs_sdk/views/frames.py",
                old="pd.Index([_neutral_text(str(name)) for name in frame.columns])",
                new="pd.Index([str(name) for name in frame.columns])",
            ),
        ),
        tests=("tests/unit/views/test_frames.py::test_csv_holds_no_formula",),
    ),
    Bug(
        name="formula behind a quote in a CSV",
        edits=(
            Edit(
                path="dfs_sdk/views/frames.py",
                old="if text[:1] in FORMULA_STARTS or first in FORMULA_STARTS else text",
                new="if text[:1] in FORMULA_STARTS else text",
            ),
        ),
        tests=("tests/unit/views/test_frames.py::test_csv_holds_no_formula",),
    ),
    Bug(
        name="key of a link in its repr",
        edits=(
            Edit(
                path="dfs_sdk/files/link.py",
                old='return f"Link({self.kind.name.lower()} {self.manifest_id.short}…)"',
                new='return f"Link({self})"',
            ),
        ),
        tests=("tests/unit/files/test_link.py::test_repr_masks_the_key",),
    ),
    Bug(
        name="link in a log",
        edits=(
            Edit(
                path="dfs_sdk/node/node.py",
                old="        return naming.find_link(what, self._running.files.listed())",
                new=lines(
                    "        import logging",
                    "",
                    "        link = naming.find_link(what, self._running.files.listed())",
                    '        logging.getLogger(__name__).debug("looking for %s", str(link))',
                    "        return link",
                ),
            ),
        ),
        tests=("tests/system/test_cli.py::test_no_secret_is_logged",),
        seeds=True,
    ),
)
