"""A mesh in which everything that may happen happens at any moment, by the rules of istiod in decision 32."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from itertools import count

from rollout.cluster.envoys import Envoy
from rollout.cluster.syncz import Counters, Proxy

WEIGHTS = {"other": {"v1": 50, "v2": 50}, "before": {"v1": 100}, "wanted": {"v1": 90, "v2": 10}}
_SUBSETS = frozenset({"v1", "v2"})
_NAMES = count()
_MOVES = ("change", "informer", "push", "send", "down", "up", "subscribe", "reconnect", "forget", "restart")


@dataclass(frozen=True)
class Context:
    """A push context: its number, and what of the route's history is in it."""

    number: int
    state: int

    def nonce(self) -> str:
        return f"2026-11-29T13:13:24Z/{self.number}{next(_NAMES):036d}"


@dataclass(frozen=True)
class Message:
    """From istiod: all clusters, all routes, or one route more; to it: an answer, or that one route more is wanted."""

    kind: str
    nonce: str = ""
    state: int = 0
    one_more: bool = False


@dataclass
class Link:
    """A connection as its istiod knows it, and what is on its way."""

    pod: str
    context: Context
    pending: Context | None = None
    concerns: bool = False
    sent: dict[str, str] = field(default_factory=dict)
    acknowledged: dict[str, str] = field(default_factory=dict)
    refused: str = ""
    down: list[Message] = field(default_factory=list)
    up: list[Message] = field(default_factory=list)

    def send(self, kind: str, context: Context, *, one_more: bool = False) -> None:
        self.sent[kind] = context.nonce()
        self.down.append(Message(kind, self.sent[kind], context.state, one_more))

    def as_told(self) -> Proxy:
        def last(kind: str) -> str:
            nonce = self.acknowledged.get(kind, "")
            return nonce if nonce == self.sent.get(kind, "") else ""

        return Proxy(last("routes"), last("clusters"), self.refused)


@dataclass
class Istiod:
    """A process, with what its informers have brought."""

    state: int
    started: int
    context: Context
    unsent: bool = False
    links: list[Link] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)


class SimulatedMesh:
    """Two istiods and ten proxies. Whatever may happen happens before each answer.

    Args:
        seed: Of all that is random.
        history: What the cluster says one after the other; the last is the change, which comes later.
        blind: The rule that is left out, by what is not told, or told wrongly.
    """

    def __init__(self, seed: int, history: tuple[str, ...], blind: str = "") -> None:
        self.random, self.history, self.blind = random.Random(seed), history, blind
        # what happens often in one run happens rarely in another
        self.often = [self.random.choice((0.1, 1, 1, 5)) * each for each in (1, 3, 2, 12, 20, 20, 2, 0.2, 0.5, 0.1)]
        self.pace = self.random.choice((10, 40, 120))
        self.change = len(history) - 1
        self.now = self.change - 1
        first = [self.random.randint(0, self.now) for _ in range(2)]
        self.istiods = {
            f"istio-system/istiod-{number}": Istiod(state, number, Context(number + 1, state))
            for number, state in enumerate(first)
        }
        self.has = dict.fromkeys((f"echo/{name}" for name in "abcdefghij"), 0)
        self.truth: dict[str, int] = {}
        self.asked: set[str] = set()
        self.is_counted = False
        self.links: dict[str, Link] = {}
        for pod in self.has:
            self._connect(pod)
        for _ in range(self.random.randint(0, 600)):
            self._happen(changes=False)

    def begin_look(self) -> None:
        self.truth, self.is_counted = {}, False

    def weights(self) -> Mapping[str, int] | None:
        self._go_on()
        if self.blind == "weights":
            return WEIGHTS[self.history[self.random.choice([*self.has.values()])]]
        return WEIGHTS[self.history[self.now]]

    def proxies(self) -> Mapping[str, Mapping[str, Proxy]]:
        self._go_on()
        # after that, what is told decides nothing of this look
        if not self.is_counted:
            self.truth |= self.has
        found: dict[str, dict[str, Proxy]] = {}
        for name, istiod in self.istiods.items():
            found[name] = {}
            for link in istiod.links:
                if self.blind == "twice" and any(link.pod in told for told in found.values()):
                    continue
                told = self._told(link)
                found[name][link.pod] = replace(told, routes="", clusters="") if link.pod in found[name] else told
        return found

    def counters(self) -> Mapping[str, Counters]:
        self._go_on()
        self.is_counted = True
        return {
            name: Counters("" if self.blind == "restarts" else str(istiod.started))
            if self.blind in ("refusals", "restarts")
            else Counters(str(istiod.started), dict(istiod.refusals), istiod.refusals.total())
            for name, istiod in self.istiods.items()
        }

    def ask(self, pods: Collection[str]) -> Mapping[str, Envoy]:
        self._go_on()
        self.truth |= {pod: self.has[pod] for pod in pods}
        self.asked |= {*pods}
        return {pod: Envoy(pod, WEIGHTS[self.history[self.has[pod]]], _SUBSETS) for pod in pods}

    def _told(self, link: Link) -> Proxy:
        told = link.as_told()
        if self.blind == "unacknowledged":
            told = Proxy(link.sent.get("routes", ""), link.sent.get("clusters", ""), told.refused)
        if self.blind == "acknowledged late":
            told = Proxy(link.acknowledged.get("routes", ""), link.acknowledged.get("clusters", ""), told.refused)
        if self.blind == "clusters":
            told = replace(told, clusters=f"2026-11-29T13:13:24Z/9999{0:036d}")
        return told

    def _go_on(self) -> None:
        for _ in range(self.random.randint(0, self.pace)):
            self._happen()

    def _happen(self, *, changes: bool = True) -> None:
        istiod = self.random.choice([*self.istiods.values()])
        links = [*self.links.values()]
        at_work = {
            "send": [link for link in links if link.pending],
            "down": [link for link in links if link.down],
            "up": [link for link in links if link.up],
        }
        kind = self.random.choices(_MOVES, self.often)[0]
        link = self.random.choice(at_work.get(kind) or links)
        match kind:
            case "change" if changes:
                self.now = self.change
            case "informer" if istiod.state < self.now:
                istiod.state += 1
                istiod.unsent = True
            case "push":
                self._push(istiod)
            case "send" if link.pending:
                link.context, link.pending = link.pending, None
                if link.concerns:
                    link.send("clusters", link.context)
                    link.send("routes", link.context)
                link.concerns = False
            case "down" if link.down:
                self._receive(link, link.down.pop(0))
            case "up" if link.up:
                self._answer(link, link.up.pop(0))
            case "subscribe" if not link.up:
                link.up.append(Message("one more"))
            case "reconnect":
                self._connect(link.pod)
            case "forget":
                istiod.links = [each for each in istiod.links if each is self.links[each.pod]]
            case "restart":
                self._restart(istiod)
            case _:
                pass

    def _restart(self, istiod: Istiod) -> None:
        istiod.started, istiod.unsent = next(_NAMES), False
        istiod.context, istiod.refusals = Context(1, istiod.state), Counter()
        left, istiod.links = istiod.links, []
        for each in left:
            if each is self.links[each.pod]:
                self._connect(each.pod)

    def _connect(self, pod: str) -> None:
        istiod = self.random.choice([*self.istiods.values()])
        self.links[pod] = link = Link(pod, istiod.context)
        istiod.links.append(link)
        link.send("clusters", link.context)
        link.send("routes", link.context)

    def _push(self, istiod: Istiod) -> None:
        # what else has changed may concern some proxies; it may take along a change whose own event is yet to come
        everybody = istiod.unsent and self.random.random() < 0.7
        istiod.unsent = istiod.unsent and not everybody
        istiod.context = Context(istiod.context.number + 1, istiod.state)
        for link in istiod.links:
            link.pending = istiod.context
            link.concerns = link.concerns or everybody or self.random.random() < 0.3

    def _receive(self, link: Link, message: Message) -> None:
        if message.kind == "routes" and not message.one_more:
            if message.state == self.change and self.random.random() < 0.3:
                link.up.append(replace(message, kind="refused"))
                return
            self.has[link.pod] = message.state
        link.up.append(message)

    def _answer(self, link: Link, message: Message) -> None:
        istiod = next((each for each in self.istiods.values() if any(one is link for one in each.links)), None)
        if istiod is None:
            return
        if message.kind == "refused":
            link.refused = "it does not like it"
            istiod.refusals[link.pod] += 1
        elif message.kind == "one more":
            link.send("routes", link.context, one_more=True)
        elif message.nonce == link.sent.get(message.kind):
            link.acknowledged[message.kind] = message.nonce
            if message.kind == "routes":
                link.refused = ""


class PushedMesh(SimulatedMesh):
    """One where each push goes to all, and nothing else happens.

    Args:
        without_routes: The proxies that have no routes, and cannot send.
        unknown: Those that no istiod tells of.
    """

    def __init__(self, without_routes: Collection[str], unknown: Collection[str]) -> None:
        super().__init__(0, ("before", "wanted"))
        self.without_routes, self.unknown = without_routes, unknown
        self.times = Counter[str]()
        for istiod in self.istiods.values():
            istiod.links = [link for link in self.links.values() if link in istiod.links and link.pod not in unknown]
            # no two are told apart by that alone
            istiod.started = 0
        self.push_to_all(self.now)

    def push_to_all(self, state: int) -> None:
        self.has = dict.fromkeys(self.has, state)
        for istiod in self.istiods.values():
            istiod.context = Context(istiod.context.number + 1, state)
            for link in istiod.links:
                kinds = ["clusters"] if link.pod in self.without_routes else ["clusters", "routes"]
                link.sent = link.acknowledged = {kind: istiod.context.nonce() for kind in kinds}

    def ask(self, pods: Collection[str]) -> Mapping[str, Envoy]:
        self.times.update(pods)
        return {pod: envoy for pod, envoy in super().ask(pods).items() if pod not in self.without_routes}

    def _go_on(self) -> None:
        pass
