"""What a type checker finds before anything runs: each marked line is an error. (R46)"""

from typing import Any, TypedDict

from nbagent import (
    END,
    START,
    Cache,
    Command,
    Graph,
    Retry,
    Send,
    TaskInfo,
    acached,
    aeffect,
    branch,
    cached,
    each,
    effect,
    interrupt,
    memory,
    node,
)


class State(TypedDict):
    topic: str


def send(to: str) -> bool:
    return True


async def asend(to: str) -> bool:
    return True


with Graph("g", State, on_error="ignore") as graph:  # error: arg-type

    @node
    def plan(state: State) -> dict[str, str]:
        return {"topic": state["topic"]}

    # What a node returns.
    @node  # error: type-var
    def number(state: State) -> int:
        return 3

    @node  # error: type-var
    def listed(state: State) -> list[str]:
        return []

    @node(retry=2)  # error: type-var
    async def text(state: State) -> str:
        return ""

    node(lambda state: 3, name="three")  # error

    # Edges.
    START >> 3  # error: operator
    3 >> plan  # error: operator
    START >> plan >> None  # error: operator
    START >> {"plan": plan}  # error: operator
    plan >> branch("topic", revise=3)  # error: arg-type
    plan >> branch(3, revise=plan)  # error: arg-type
    plan >> branch("topic", revise=branch("topic", a=END))  # error: arg-type
    plan >> each("topic", 3)  # error: arg-type
    plan >> each(3, plan)  # error: arg-type

    # Policies.
    node(plan, retry="3")  # error
    node(plan, retry=Retry)  # error
    node(plan, timeout="2 s")  # error
    node(plan, cache=Cache)  # error
    node(plan, fallback=3)  # error
    node(plan, rate_limit=3)  # error
    node(plan, breaker=True)  # error
    node(plan, pause="between")  # error
    node(plan, recover={"ValueError": "topic"})  # error
    node(plan, retries=3)  # error
    node(3)  # error

    @node(retry="3")  # error
    def wrong(state: State) -> None: ...

    @node(retry=Retry(attempts="3"))  # error: arg-type
    def wronger(state: State) -> None: ...


# A node keeps its signature.
plan()  # error: call-arg
plan("bees")  # error: arg-type
print(plan({"topic": "bees"})["topic"].nothing)  # error: attr-defined
print(plan.nothing)  # error: attr-defined


def answers() -> None:
    count: int = interrupt("Send it?", schema=str)  # error
    interrupt()  # error
    interrupt("Send it?", deadline="tomorrow")  # error
    interrupt("Send it?", show=3)  # error
    print(count)


async def calls() -> None:
    one: str = effect("mail", send, "a@b.c")  # error
    two: str = await aeffect("mail", asend, "a@b.c")  # error
    three: str = cached("mail", send, "a@b.c")  # error
    four: str = await acached("mail", asend, "a@b.c")  # error
    cached("mail", send)  # error
    cached("mail", send, 3)  # error: arg-type
    effect("mail", 3)  # error: arg-type
    effect(3, send)  # error: arg-type
    effect("mail", send, "a@b.c", probe=3)  # error: arg-type
    print(one, two, three, four)


def runs(anything: Any) -> None:
    graph.run()  # error: call-arg
    graph.run(3)  # error: arg-type
    graph.run({"topic": "bees"}, thread=3)  # error: arg-type
    graph.start({}).nothing()  # error: attr-defined
    graph.run({"topic": "bees"}).append(anything)  # error: attr-defined
    graph.run({}, contxt=3)  # error: call-arg
    Graph("g", State, input="topic")  # error: arg-type
    Graph("g", State, context=3)  # error: arg-type
    memory.put("users", "ada")  # error: call-arg
    memory.put("users", 3, 1)  # error: arg-type
    Command(graph=3)  # error: arg-type
    Send("a", 1, timeout="soon")  # error: arg-type
    TaskInfo(stp=3)  # error: call-arg
    graph.stream({}, mode="mesages")  # error: arg-type
    graph.start({}).stream(["values", "mesages"])  # error
    Graph("g", State, loop="mine")  # error: arg-type
    Graph("g")  # error: call-arg
