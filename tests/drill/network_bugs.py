"""Bugs that let a stranger or a peer have what it should not."""

from __future__ import annotations

from tests.drill.planting import Bug, Edit, lines

NETWORK_BUGS = (
    Bug(
        name="nonce reused after a fork",
        edits=(
            Edit(
                path="dfs_sdk/node/node.py",
                old="[self._home.on_exit(self._depart), on_fork_in_child(self._wipe)]",
                new="[self._home.on_exit(self._depart)]",
            ),
        ),
        tests=(
            "tests/system/test_node_life.py::test_a_forked_child_has_neither_the_keys_nor_the_network_of_a_node",
            "tests/unit/sim/test_fork.py::test_seed_with_forks_keeps_its_promise",
        ),
        seeds=True,
    ),
    Bug(
        name="a forked child goes on with the disk",
        edits=(
            Edit(
                path="dfs_sdk/runtime/system.py",
                old="if os.getpid() != self._pid:",
                new="if os.getpid() == -1:",
            ),
        ),
        tests=("tests/system/test_node_life.py::test_a_forked_child_does_nothing_to_the_disk_of_a_node",),
    ),
    Bug(
        name="counter not advanced past a burst",
        edits=(
            Edit(
                path="dfs_sdk/crypto/aead.py",
                old="self._counter = first + count",
                new="self._counter = first + count - (count > 1)",
            ),
        ),
        tests=("tests/unit/transport/test_attacks.py::test_no_key_and_counter_pair_repeats_on_a_hostile_wire",),
        seeds=True,
    ),
    Bug(
        name="replayed packet accepted",
        edits=(
            Edit(
                path="dfs_sdk/transport/arrivals.py",
                old="(number < self._floor or number in self._seen)",
                new="number < self._floor",
            ),
        ),
        tests=("tests/unit/transport/test_attacks.py::test_a4_replayed_and_renumbered_packets_are_dropped",),
    ),
    Bug(
        name="cookie not checked under load",
        edits=(
            Edit(
                path="dfs_sdk/transport/acceptor.py",
                old="any(mac2) and self._jar.accepts(mac2=mac2, covered=covered, source=source, now=now)",
                new="any(mac2)",
            ),
        ),
        tests=(
            "tests/unit/transport/test_attack_hellos.py::test_a8_cookie_of_another_address_or_port_draws_a_fresh_one_at_most",
        ),
    ),
    Bug(
        name="half-open handshakes without a bound",
        edits=(
            Edit(
                path="dfs_sdk/transport/acceptor.py",
                old=lines(
                    "            self.take(next(iter(self._half_open)))",
                    "        return half",
                ),
                new=lines(
                    "            pass",
                    "        return half",
                ),
            ),
        ),
        tests=(
            "tests/unit/transport/test_attack_hellos.py::test_a6_half_open_table_is_bounded_for_those_who_prove_their_address_too",
        ),
    ),
    Bug(
        name="more than three times the bytes to an unproven address",
        edits=(
            Edit(
                path="dfs_sdk/transport/path.py",
                old="AMPLIFICATION_FACTOR = 3",
                new="AMPLIFICATION_FACTOR = 30",
            ),
        ),
        tests=("tests/unit/transport/test_paths.py::test_candidate_gets_at_most_three_times_what_it_sent",),
    ),
    Bug(
        name="address taken over without a challenge",
        edits=(
            Edit(
                path="dfs_sdk/transport/path.py",
                old="if candidate is None or candidate.token != token or candidate.address != source:",
                new="if candidate is None or candidate.address != source:",
            ),
        ),
        tests=("tests/unit/transport/test_paths.py::test_token_from_the_challenged_address_moves_the_path",),
    ),
    Bug(
        name="calls that ended stay in their table",
        edits=(
            Edit(
                path="dfs_sdk/rpc/session.py",
                old="self._pending.pop(call_id, None)",
                new="self._pending.get(call_id, None)",
            ),
        ),
        tests=("tests/unit/sim/test_caps.py::test_nothing_gathers_in_a_network_that_lives_for_a_while",),
        seeds=True,
    ),
    Bug(
        name="calls of a peer wait in a queue without a bound",
        edits=(
            Edit(
                path="dfs_sdk/rpc/router.py",
                old=lines(
                    "            held.calls >= config.peer_calls_max",
                    "            or held.bytes",
                ),
                new="            held.bytes",
            ),
        ),
        tests=("tests/unit/rpc/test_turns.py::test_what_a_peer_keeps_waiting_is_bounded_and_the_rest_told_busy",),
    ),
    Bug(
        name="loopback address of a stranger dialled",
        edits=(
            Edit(
                path="dfs_sdk/rpc/addresses.py",
                old="return scope is seen if scope is Scope.LINK else scope >= seen",
                new="return scope is seen if scope is Scope.LINK else True",
            ),
        ),
        tests=("tests/unit/rpc/test_addresses.py::test_an_address_is_believed_only_from_a_network_it_belongs_to",),
    ),
    Bug(
        name="signature of a record not verified",
        edits=(
            Edit(
                path="dfs_sdk/dht/records.py",
                old="    verify_signature(body.owner_ed, record.signature, _signed_bytes(network_id, body))",
                new="",
            ),
        ),
        tests=("tests/unit/dht/test_records.py::test_a_record_with_any_field_changed_is_forged",),
    ),
    Bug(
        name="record with a lower sequence accepted",
        edits=(
            Edit(
                path="dfs_sdk/dht/records.py",
                old="if record.body.sequence <= known.body.sequence:",
                new="if record.body.sequence == known.body.sequence:",
            ),
        ),
        tests=("tests/unit/dht/test_records.py::test_a_higher_sequence_replaces_and_a_lower_or_reused_one_is_stale",),
    ),
    Bug(
        name="stale answer of a lookup preferred",
        edits=(
            Edit(
                path="dfs_sdk/dht/seeker.py",
                old="if known is None or record.body.sequence > known.body.sequence:",
                new="if known is None or record.body.sequence != known.body.sequence:",
            ),
        ),
        tests=("tests/unit/dht/test_records.py::test_of_the_answers_of_several_holders_the_newest_record_counts",),
    ),
    Bug(
        name="record stored with any token",
        edits=(
            Edit(
                path="dfs_sdk/dht/tokens.py",
                old="hmac.compare_digest(token, _token(secret, node_id, address)) for",
                new="len(token) == len(_token(secret, node_id, address)) for",
            ),
        ),
        tests=("tests/unit/dht/test_hostile.py::test_a_store_needs_a_token_of_this_node_for_this_node_and_recent",),
    ),
    Bug(
        name="a sleeper accuses everybody and repairs in a storm",
        edits=(
            Edit(
                path="dfs_sdk/peers/service.py",
                old="            self._membership.liveness.forgive(max(0.0, late), now)",
                new="",
            ),
            Edit(
                path="dfs_sdk/peers/prober.py",
                old="return self._clock.monotonic() - asked_at > timeout + self._config.clock_jump_max",
                new="return False",
            ),
        ),
        tests=("tests/unit/peers/test_verdicts.py::test_node_that_slept_accuses_nobody",),
    ),
    Bug(
        name="view in the order of hash()",
        edits=(
            Edit(
                path="dfs_sdk/peers/view.py",
                old="MappingProxyType(dict(sorted(self.members.items())))",
                new="MappingProxyType(dict(sorted(self.members.items(), key=hash)))",
            ),
        ),
        tests=("tests/unit/sim/test_trial.py::test_seed_replays_anywhere_with_the_same_digest",),
    ),
    Bug(
        name="time-out of a probe on the wall clock",
        edits=(
            Edit(
                path="dfs_sdk/peers/prober.py",
                old="timeout, asked_at = self._config.probe_timeout, self._clock.monotonic()",
                new="timeout, asked_at = self._config.probe_timeout, self._clock.wall()",
            ),
            Edit(
                path="dfs_sdk/peers/prober.py",
                old=lines(
                    "        asked_at = self._clock.monotonic()",
                    "        helpers",
                ),
                new=lines(
                    "        asked_at = self._clock.wall()",
                    "        helpers",
                ),
            ),
            Edit(
                path="dfs_sdk/peers/prober.py",
                old="return self._clock.monotonic() - asked_at > timeout",
                new="return self._clock.wall() - asked_at > timeout",
            ),
        ),
        tests=(
            "tests/unit/peers/test_verdicts.py::test_probe_during_which_this_node_slept_proves_nothing_whatever_the_wall_clock_says",
        ),
    ),
)
