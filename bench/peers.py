"""ClusterShell and python-hostlist, timed as bench/src/main.rs times the others. The texts are the files of $TEXTS."""

import os
import time

import hostlist
from ClusterShell.NodeSet import NodeSet

ROUNDS = 3


def text(name):
    with open(os.path.join(os.environ["TEXTS"], name), encoding="ascii") as file:
        return file.read()


def case(name, per, who, work, rounds=ROUNDS):
    least = float("inf")
    for _ in range(rounds):
        start = time.perf_counter_ns()
        answer = work()
        least = min(least, time.perf_counter_ns() - start)
    print(f"{name}\t{who}\t{least / per:.3f}\t{answer}", flush=True)


def expand(one):
    return hostlist.expand_hostlist(one, allow_duplicates=True)


def algebra(a, b):
    a, b = NodeSet(a), NodeSet(b)
    return len(a & b) + len(a - b)


million, fragments, fold = text("million"), text("fragments"), text("fold-100k")
odd, third, low, high = text("odd"), text("third"), text("low"), text("high")
nodes = NodeSet(million)
# python-hostlist has a limit of its own, which cannot be set.
hostlist.MAX_SIZE = 2_000_000
case("stream-1M", 1e6, "ClusterShell", lambda: sum(map(len, nodes)))
case("vector-1M", 1e6, "ClusterShell", lambda: len(list(nodes)))
case("vector-1M", 1e6, "python-hostlist", lambda: len(expand(million)))
case("fragments-10k", 1e4, "ClusterShell", lambda: sum(map(len, NodeSet(fragments))))
case("fragments-10k", 1e4, "python-hostlist", lambda: sum(map(len, expand(fragments))))
case("suffix-65536", 65_536, "ClusterShell", lambda: sum(map(len, NodeSet(text("suffix")))))
case("suffix-65536", 65_536, "python-hostlist", lambda: sum(map(len, expand(text("suffix")))))
case("fold-100k", 1e5, "ClusterShell", lambda: len(NodeSet(str(NodeSet(fold)))))
case("fold-100k", 1e5, "python-hostlist", lambda: len(expand(hostlist.collect_hostlist(expand(fold)))))
case("algebra-fragments-100k", 1, "ClusterShell", lambda: algebra(odd, third), 1)
case("difference-contiguous-100k", 1, "ClusterShell", lambda: len(NodeSet(low) - NodeSet(high)))
