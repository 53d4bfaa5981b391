"""Bugs that lose, spoil or leak what a node keeps on its disk."""

from __future__ import annotations

from tests.drill.planting import Bug, Edit, lines

STORE_BUGS = (
    Bug(
        name="acknowledged before the commit",
        edits=(
            Edit(
                path="dfs_sdk/store/changes.py",
                old=lines(
                    "        kept = await self._write(fresh, known)",
                    "        if not kept:",
                    "            return",
                ),
                new=lines(
                    "        import asyncio",
                    "        for info, _ in fresh:",
                    "            self._holdings.add(info)",
                    "        task = asyncio.get_running_loop().create_task(self._write_later(fresh, known))",
                    "        task.add_done_callback(lambda done: done.cancelled() or done.exception())",
                    "",
                    "    async def _write_later(self, fresh: list[Content], known: list[Present]) -> None:",
                    "        kept = await self._write(fresh, known)",
                ),
            ),
        ),
        tests=("tests/unit/store/test_promises.py::test_power_cut_of_all_other_nodes_after_the_receipt_loses_nothing",),
        seeds=True,
    ),
    Bug(
        name="no fsync of the chunk file",
        edits=(
            Edit(
                path="dfs_sdk/store/files.py",
                old="            self._disk.write_new(file.temporary, encode_header(file.info), file.data)",
                new=lines(
                    "            part = self._disk.open_part(file.temporary)",
                    "            part.write_at(0, encode_header(file.info) + bytes(file.data))",
                    "            part.close()",
                ),
            ),
        ),
        tests=("tests/unit/store/test_promises.py::test_power_cut_of_all_other_nodes_after_the_receipt_loses_nothing",),
        seeds=True,
    ),
    Bug(
        name="fsync does nothing on a real disk",
        edits=(
            Edit(
                path="dfs_sdk/runtime/files.py",
                old=lines(
                    "            return",
                    "    os.fsync(descriptor)",
                ),
                new="            return",
            ),
        ),
        tests=("tests/unit/runtime/test_system.py::test_what_counts_as_durable_was_synced_when_all_of_it_was_there",),
    ),
    Bug(
        name="no fsync of the chunk's folder",
        edits=(
            Edit(
                path="dfs_sdk/store/files.py",
                old=lines(
                    "        for folder in folders:",
                    "            self._disk.sync_folder(folder)",
                ),
                new=lines(
                    "        for _folder in folders:",
                    "            pass",
                ),
            ),
        ),
        tests=("tests/unit/store/test_promises.py::test_power_cut_of_all_other_nodes_after_the_receipt_loses_nothing",),
        seeds=True,
    ),
    Bug(
        name="fsync of a folder does nothing on a real disk",
        edits=(
            Edit(
                path="dfs_sdk/runtime/system.py",
                old=lines(
                    "        try:",
                    "            sync_descriptor(descriptor)",
                    "        finally:",
                ),
                new=lines(
                    "        try:",
                    "            pass",
                    "        finally:",
                ),
            ),
        ),
        tests=("tests/unit/runtime/test_system.py::test_what_counts_as_durable_was_synced_when_all_of_it_was_there",),
    ),
    Bug(
        name="download renamed before its fsync",
        edits=(
            Edit(
                path="dfs_sdk/files/sink.py",
                old=lines(
                    "            file.sync()",
                    "        self._close()",
                    "        self._disk.publish(self.part, self.target, overwrite=self._overwrite)",
                ),
                new=lines(
                    "        self._disk.publish(self.part, self.target, overwrite=self._overwrite)",
                    "        with self._room():",
                    "            file.sync()",
                    "        self._close()",
                ),
            ),
        ),
        tests=("tests/unit/files/test_destination.py::test_a_power_cut_at_any_step_leaves_the_whole_file_or_none",),
    ),
    Bug(
        name="index committed without an fsync",
        edits=(
            Edit(
                path="dfs_sdk/store/database.py",
                old='self._pragma("synchronous = FULL")',
                new='self._pragma("synchronous = OFF")',
            ),
        ),
        tests=("tests/unit/store/test_recovery.py::test_commit_of_a_database_on_a_real_disk_waits_for_the_drive",),
    ),
    Bug(
        name="deletion not durable",
        edits=(
            Edit(
                path="dfs_sdk/store/files.py",
                old=lines(
                    "                if self._disk.exists(folder):",
                    "                    self._disk.sync_folder(folder)",
                ),
                new="                pass",
            ),
        ),
        tests=("tests/unit/store/test_crash.py::test_no_cut_loses_what_was_acknowledged",),
    ),
    Bug(
        name="arriving chunk not held against its id",
        edits=(
            Edit(
                path="dfs_sdk/store/changes.py",
                old="        verify_ids(contents)",
                new="",
            ),
        ),
        tests=("tests/unit/store/test_conformance.py::test_wrong_bytes_are_refused_and_nothing_of_the_batch_is_kept",),
    ),
    Bug(
        name="chunk from the disk not held against its id",
        edits=(
            Edit(
                path="dfs_sdk/store/files.py",
                old="or info.size != len(data) or (verify and not matches(chunk_id, data)):",
                new="or info.size != len(data):",
            ),
        ),
        tests=("tests/unit/store/test_conformance.py::test_damaged_chunk_is_told_and_no_longer_held",),
    ),
    Bug(
        name="store goes on writing after a failed fsync",
        edits=(
            Edit(
                path="dfs_sdk/store/guard.py",
                old="if self._read_only is None and fault_of(error) is Fault.BROKEN:",
                new="if self._read_only is None and fault_of(error) is Fault.FULL:",
            ),
        ),
        tests=("tests/unit/store/test_faults.py::test_broken_write_turns_the_store_read_only_and_says_so",),
    ),
    Bug(
        name="quota reserve not released after a failed put",
        edits=(
            Edit(
                path="dfs_sdk/store/changes.py",
                old=lines(
                    "                await self._write_and_commit(fresh, known)",
                    "            finally:",
                    "                self._promised_bytes -= charge",
                ),
                new=lines(
                    "                await self._write_and_commit(fresh, known)",
                    "            finally:",
                    "                pass",
                    "            self._promised_bytes -= charge",
                ),
            ),
        ),
        tests=("tests/unit/store/test_faults.py::test_failed_puts_leave_their_share_of_the_quota_to_others",),
    ),
    Bug(
        name="pinned copy evicted",
        edits=(
            Edit(
                path="dfs_sdk/store/base.py",
                old="return self.role is Role.CACHE and not self.pinned",
                new="return self.role is Role.CACHE",
            ),
        ),
        tests=("tests/unit/store/test_conformance.py::test_pinned_cache_copy_is_never_evicted",),
    ),
    Bug(
        name="change torn by a cancelled caller",
        edits=(
            Edit(
                path="dfs_sdk/store/operations.py",
                old=lines(
                    "        except asyncio.CancelledError:",
                    "            await settle(task)",
                    "            raise",
                    "        return change.result()",
                ),
                new=lines(
                    "        except asyncio.CancelledError:",
                    "            task.cancel()",
                    "            raise",
                    "        return change.result()",
                ),
            ),
        ),
        tests=("tests/unit/store/test_cancelling.py::test_cancelled_call_leaves_nothing_and_the_store_goes_on",),
    ),
)
