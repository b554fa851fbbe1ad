"""A user's module that passes under `mypy --strict` and pyright: nothing here is an error. (R46)"""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypedDict, assert_type

from nbagent import (
    END,
    PARENT,
    PERSON,
    START,
    Breaker,
    Budget,
    Cache,
    Command,
    Graph,
    Memory,
    Outcome,
    Overwrite,
    RateLimit,
    Retry,
    Secret,
    Send,
    TaskInfo,
    Untracked,
    acached,
    aeffect,
    branch,
    cached,
    durable,
    each,
    each_once,
    effect,
    emit,
    interrupt,
    memory,
    node,
    resume_due,
    span,
    step,
    task,
    thaw,
    threads,
)


def add(old: list[str], new: list[str]) -> list[str]:
    return old + new


class State(TypedDict):
    topic: str
    pages: list[str]
    notes: Annotated[list[str], add]
    verdict: Literal["revise", "accept"]
    key: Secret


class Connected(State):
    client: Annotated[object, Untracked]


class Notes(TypedDict):
    notes: list[str]


@dataclasses.dataclass
class Letter:
    to: str
    lines: int = 3


def send(to: str, copies: int = 1) -> bool:
    return copies > 0


async def asend(to: str) -> dict[str, int]:
    return {to: 1}


with Graph("inner", State) as inner:

    @node
    def shorten(state: State) -> Notes:
        return {"notes": [state["topic"]]}

    START >> shorten >> END


with Graph("research", State, store="memory://", on_error="cancel") as research:

    @node
    def plan(state: State) -> dict[str, list[str]]:
        emit("planning")
        with span("search", query=state["topic"]) as one:
            one.set(hits=3)
        return {"pages": thaw(state["pages"])}

    @node(retry=3, timeout=2.5, name="read a page")
    async def page(url: str) -> dict[str, list[str]]:
        return {"notes": [url]}

    @node(retry=Retry(attempts=3), cache=Cache(ttl=60), rate_limit=RateLimit(3), defer=True)
    async def summarise(state: State) -> Notes | None:
        found = await acached("found", asend, state["topic"])
        assert_type(found, dict[str, int])
        sent = await aeffect("mail", asend, to="a@b.c", idempotent=True)
        assert_type(sent, dict[str, int])
        assert_type(await aeffect("plain", send, "a@b.c"), bool)
        return None

    @node(recover={ValueError: "topic", KeyError: PERSON}, breaker=Breaker(3), pause="after")
    def ask(state: State) -> Command:
        answer = interrupt("Send it?", schema=bool, show=["notes"])
        assert_type(answer, bool)
        letter = interrupt("Which letter?", schema=Letter, deadline=60.0)
        assert_type(letter, Letter)
        assert_type(interrupt("How many?", schema=list[int]), list[int])
        text: str = interrupt("Anything?")
        choice: str = interrupt("Which?", schema=Literal["a", "b"])
        number: int = interrupt("How many?", schema={"type": "integer"})
        done = effect("mail", send, letter.to, copies=2, probe=lambda: None)
        assert_type(done, bool)
        assert_type(cached("mail", send, letter.to, copies=number), bool)
        return Command(update={"topic": text + choice}, goto=[summarise, Send(page, "x"), END])

    @node
    def untouched(state: State) -> None: ...

    def fallback(state: Mapping[str, Any]) -> dict[str, Any]:
        return {}

    web = node(lambda state: {"verdict": "accept"}, name="web", fallback=fallback)
    nested = node(inner, inputs={"topic": "topic"}, name="nested", keep=True)

    @node(on="topic", cache=True, stall=9, retry=False, budget={"cost": 1}, recover=fallback)
    def later(state: State) -> State:
        return state

    START >> plan >> [web, untouched] >> nested >> inner >> END
    START >> [plan, web]
    [plan, untouched] >> ask
    [plan, page, summarise] >> later
    plan >> fallback >> "later"
    plan >> each("pages", page) >> summarise >> ask
    plan >> each(lambda state: state["pages"], page)
    ask >> branch("verdict", revise=[plan, later], accept=END)
    later >> branch(lambda state: END)


async def calls(state: State) -> None:
    """A node stays the function that it was."""
    assert_type(plan(state), dict[str, list[str]])
    assert_type(shorten(state=state), Notes)
    assert_type(await page("https://a.b"), dict[str, list[str]])
    assert_type(await summarise(state), Notes | None)


@dataclasses.dataclass
class User:
    name: str


@node
def greet(state: State, task: TaskInfo[User]) -> dict[str, str]:
    return {"topic": task.context.name}


@node
def hands_over(state: State) -> list[Command | dict[str, Overwrite]]:
    update = {"notes": ["for bob"]}
    return [{"notes": Overwrite([])}, Command(graph=PARENT, update=update, goto="bob")]


@node
async def sends(state: State) -> list[Send]:
    return [Send(page, url, timeout=5) for url in state["pages"]]


@node(name="untyped_task")
def counts(state: State, *, task: TaskInfo) -> dict[str, int]:
    return {"step": task.step + len(task.context)}


def knows(state: State) -> None:
    assert_type(greet(state, TaskInfo(context=User("Ada"))), dict[str, str])
    assert_type(task().attempt, int)
    counts(state, task=TaskInfo(step=3))
    with Graph("greeting", State, context=User) as greeting:
        START >> greet >> END
    greeting.run({"topic": "bees"}, context=User("Ada"), step_limit=3)
    memory.put(("users", "ada"), "likes", {"tea": "green"}, ttl=60)
    for item in Memory("memory://", embed=lambda text: [1.0]).search(
        "users", text="tea", where={"tea": "green"}
    ):
        print(item.namespace, item.key, item.value, item.score, memory.get("users", "ada"))
    Graph("faces", State, input=Notes, output=Notes)
    greeting.thread("t").resume(context={"name": "Ada"})


async def run() -> None:
    assert_type(await research.arun({"topic": "bees"}), Outcome)
    async for event in research.stream({"topic": "bees"}):
        print(event)
    stream = research.stream({"topic": "bees"}, mode=["updates", "messages"], subgraphs=True)
    print(list(stream), stream.result)
    for message in research.start({"topic": "bees"}).stream("messages"):
        print(message.text)
    await research.start({"topic": "bees"})


@durable
def lengths(texts: list[str], *, most: int = 3) -> int:
    total = 0
    for text in each_once(texts, "texts"):
        assert_type(text, str)
        total += assert_type(step(len)(text), int)
    return min(total, most)


@durable(store="memory://", retry=2)
async def shouted(text: str) -> str:
    return await step(loud)(text)


async def loud(text: str) -> str:
    return text.upper()


async def function() -> None:
    assert_type(lengths.run(["a"], thread="t").value, int)
    assert_type((await shouted.arun("a")).value, str)
    lengths.start(["a"]).pause()
    lengths.thread("t").resume("yes")


if __name__ == "__main__":
    result = research.run({"topic": "bees"}, thread="t")
    assert_type(result, Outcome)
    plain: dict[str, Any] = result
    print(plain, result.status, [one.question for one in result.questions], result.thread.id)
    started = research.start({"topic": "bees"}, step_limit=10)
    started.pause()
    print(started.status, started.result(5))
    thread = research.thread("t")
    thread.edit({"topic": "wasps"})
    thread.edit({"topic": "wasps"}, as_node="plan")
    thread.edit({"topic": "wasps"}, as_node=plan)
    thread.resume({"ask": True}).result()
    thread.resume(goto=[plan, Send(page, "x"), END]).result()
    research.run({"topic": "ants"}, metadata={"user": "ada"}, max_concurrency=2, pause_after=[plan])
    research.start({"topic": "ants"}, budget=Budget(cost=0.5, prices={"m": (1.0, 2.0)})).pause()
    thread.resume(Budget(calls=3)).result()
    print(thread.finish("enough"), research.start({"topic": "ants"}, "t", anew=True))
    batch = research.map([{"topic": "bees"}])
    print(batch, threads(), resume_due())
