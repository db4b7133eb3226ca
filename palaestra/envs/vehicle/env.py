"""`palaestra/VehicleWorld-v0`: the Gymnasium face of the car."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar

from palaestra.envs.core.actions import read_message
from palaestra.envs.core.snapshots import digest, seal
from palaestra.envs.core.tasks import Task, TaskSet
from palaestra.envs.core.text_env import TextEnv, Turn
from palaestra.envs.core.typed import typed
from palaestra.envs.formats.attempts import find_attempt, unread
from palaestra.envs.formats.hermes import format_results
from palaestra.envs.vehicle import prompts
from palaestra.envs.vehicle.calls.code_blocks import PYTHON, WRITABLE, extract_code
from palaestra.envs.vehicle.calls.schemas import api_text
from palaestra.envs.vehicle.car.call_result import Change
from palaestra.envs.vehicle.car.car import Profile, profile_named
from palaestra.envs.vehicle.car.former_names import current_name
from palaestra.envs.vehicle.car.tables import MODULES
from palaestra.envs.vehicle.effects import Effect, do_calls, do_code, do_writes
from palaestra.envs.vehicle.experts import Situation, expert_action
from palaestra.envs.vehicle.observation import STATE_TAG, observation, shown_modules, state_data
from palaestra.envs.vehicle.protocol import (
    MAX_PLAN_CHARS,
    REFLECTIONS,
    Progress,
    Rules,
    Selection,
    choose_modules,
    is_writing,
    looks_like_code,
    read_selection,
)
from palaestra.envs.vehicle.published.scoring import Scope
from palaestra.envs.vehicle.render.cockpit import cockpit_text
from palaestra.envs.vehicle.requests.gold import gold_effect
from palaestra.envs.vehicle.requests.task import CarRequest, CarTask
from palaestra.envs.vehicle.sampling import CarSampler
from palaestra.envs.vehicle.served import METRICS, Served
from palaestra.envs.vehicle.strict import RequestVerdict, judge_request
from palaestra.envs.vehicle.tasks import car_task, find_tasks, modules_of
from palaestra.envs.vehicle.tools import chosen, offered_modules, offered_tools
from palaestra.envs.vehicle.world import VehicleWorld
from palaestra.errors import EpisodeStateError
from palaestra.types import Json, Message, ToolCall, ToolResult, ToolStatus

NO_TOOLS = "Tool calls are not taken here; write what you do in a fenced block. Nothing was done."
CHOOSE_FIRST = "First choose modules: write their names between <modules> and </modules>, one a line. Nothing was done."
EMPTY = "Your message is empty. Act in a fenced block, or say in words that there is nothing to do. Nothing was done."
IN_A_FENCE = (
    "Your message looks like a call and was not read as one: what acts has to stand in a fenced block of code (three "
    "backticks around it). To end the request, answer in plain words. Nothing was done."
)
PLAN_FIRST = "First write a short plan in plain words, without calls. Nothing was done."


class VehicleWorldEnv(TextEnv):
    """Serve the requests of people in a car, by calling its functions or by writing its state.

    Description: a car of 30 modules (doors, windows, seats, climate, lights, screens, music, radio, video, phone,
    navigation, ...) with 248 functions. A task is a dialogue of one or more requests ("Open my window a bit", "Is there a
    faster way home?"); some cannot be served in the current state, ask for what holds already, or only want to know
    something. In mode "fc" the agent does not see the state and calls functions; in mode "sfc" it chooses modules, sees
    their state and writes the new one; in mode "hybrid" it chooses modules and calls their functions.

    Action: one message. In "fc" and "hybrid" a fenced block of calls (read, never executed; see `language`), e.g.
    `vw.music.music_soundVolume_increase(degree='little')`; in "sfc" a fenced block of assignments, a map or a list of
    operations (see `writes`). A choice of modules stands between `<modules>` tags. With calls="tools" the functions are also
    tools, and native calls and code are both taken. A message with nothing to do in it ends the request and changes nothing.

    Observation: the request and what its stage shows (state and schema, functions), then results; `view()` has the same in
    parts. `info["format"]` and `info["transient"]` of `reset` tell an agent the prompt format and that old `<state>` blocks
    may go.

    Reward: with the last message of a request, `reward`: "requests" (1 / number of requests if exactly what the request asks
    for has changed in the whole car), "accuracy" (published accuracy / number of requests) or "final" (1.0 at the end if
    every request was served exactly). `success` means that every request was served exactly. `info["request_result"]`, in the
    step that ends a request, holds what changed, what should have, and all scores: published and strict, with those of doing
    nothing next to them. A request is judged from the car as it stands: what went wrong earlier stays and counts once.

    Metrics: about one request in eight is served by doing nothing; `changes_served` leaves these out.

    Termination: after the last request. A request ends with a message that does nothing, when the results repeat, or after
    `reflections` + 1 messages that act. Truncation: after `max_turns` messages; requests not finished then bring nothing.

    Arguments:
        mode: "fc" (function calls), "sfc" (state-based function call) or "hybrid".
        profile: "fixed" (consistent; a failed call changes nothing) or "published" (as published, bug for bug).
        reflections: Messages that may act after the first, per request; by default 3 (fc), 0 (sfc), 1 (hybrid), as
            published.
        few_shot: Whether the instructions end with a worked example.
        plan: Whether each request begins with a message that drafts a plan from the request alone.
        extra_modules: None for the whole car; n for a car of the task's modules and n others (drawn by the task's key),
            which the published scores then look at, too.
        state_form: "plain", or "wrapped" as published (every value with type and description, five times as long).
        selection_state: What modules are chosen from: "full" (the whole state) or "compact" (a line each, and what differs
            from the standard car).
        constants: Whether states show configuration values, which nothing changes.
        schema: Whether "sfc" explains the properties of a module (types, ranges, meanings) when it is first chosen; a model
            trained on this car does without.
        calls: "text", or "tools" for native function calling (modes "fc" and "hybrid").
        tool_scope: Functions that are offered as tools: "all" (248), "modules" (those of the task's modules) or "selected"
            (those of modules that the agent has chosen or looked up; `info["tools"]` of a step brings the new list). By
            default "all" in "fc" and "selected" in "hybrid".
        mixed: Whether calls and writes are both taken where either is; the car is the same for both.
        reward: "requests", "accuracy" or "final".
        tasks: None for tasks made here, the path of published tasks (a file or a folder), or a `TaskSet`.
        split: Split that `reset` draws from; by default "train", or the first that there is.
        max_turns: Number of messages after which the episode is truncated; None for no limit.
        render_mode: None, "ansi" (dialogue and cockpit) or "rgb_array" (the car from above; needs the extra `plots`).
        **generator: Arguments of `requests.vehicle_tasks`, e.g. `difficulty`.

    Registered ids: `palaestra/VehicleWorld-v0` (mode "fc", 60 messages).

    Expert: says the gold plan as the mode wants it; in "sfc" it fixes the difference to the goal from any state.

    Data: made by this package; published tasks (Apache-2.0, OpenMOSS-Team/VehicleWorld) are read from a path. Tables of the
    car hold facts of the published implementation.

    Papers:
        VehicleWorld (arXiv:2509.06736): the car, its functions, the three modes, the published tasks and scores.

    Version history: v0, the first.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["ansi", "rgb_array"], "render_fps": 1}  # type: ignore[misc]
    results = "palaestra.envs.vehicle.results.tables:vehicle_results"
    metrics = METRICS

    def __init__(
        self,
        *,
        mode: str = "fc",
        profile: Profile = "fixed",
        reflections: int | None = None,
        few_shot: bool = False,
        plan: bool = False,
        extra_modules: int | None = None,
        state_form: str = "plain",
        selection_state: str = "full",
        constants: bool = False,
        schema: bool = True,
        calls: str = "text",
        tool_scope: str | None = None,
        mixed: bool = False,
        reward: str = "requests",
        tasks: str | Path | TaskSet | None = None,
        split: str | None = None,
        max_turns: int | None = None,
        render_mode: str | None = None,
        **generator: Any,
    ) -> None:
        """Check the arguments and create a standard car."""
        self.rules = Rules(
            mode=mode,
            profile=profile_named(profile),
            reflections=REFLECTIONS.get(mode, 0) if reflections is None else reflections,
            few_shot=few_shot,
            plan=plan,
            extra_modules=extra_modules,
            state_form=state_form,
            selection_state=selection_state,
            constants=constants,
            schema=schema,
            calls=calls,
            tool_scope=("selected" if mode == "hybrid" else "all") if tool_scope is None else tool_scope,
            mixed=mixed,
            reward=current_name(reward),
        )
        task_set = find_tasks(tasks, self.rules.profile, generator)
        if split is None:
            split = "train" if "train" in task_set.splits else task_set.splits[0]
        super().__init__(task_set, split=split, max_turns=max_turns, sampler=CarSampler(self.rules), render_mode=render_mode)
        self.world = VehicleWorld(self.rules.profile)
        self.gold = self.world.copy()
        self.visible: tuple[str, ...] = MODULES
        self.progress = Progress(stage=self.rules.first_stage())
        self._car_task = CarTask((), (), ())
        self._scope = Scope(())
        self._tally = [0, 0, 0]
        self._served = Served()

    # -- the contract ---------------------------------------------------------------------------------------------

    def instructions(self) -> str:
        """Return the role, the order of work, the syntax, the limits, and when to decline."""
        return prompts.instructions(self.rules)

    def tools(self) -> list[dict[str, Json]]:
        """Return the functions that are offered now as OpenAI function schemas; empty unless calls="tools"."""
        if not self.rules.native:
            return []
        return offered_tools(self.rules, self.visible, self.asked, self.progress)

    def expert(self) -> Iterator[str | Message]:
        """Yield messages that serve the requests from the current state of the car, as far as that is possible."""
        while self._playing:
            before = self._num_turns
            yield expert_action(self._situation())
            if self._num_turns == before:
                return  # the action was not played

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Start an episode (see `TextEnv.reset`).

        The info also has `format` (the prompt format of `LLMAgent` that these instructions describe) and `transient` (tags of
        blocks of which only the newest is worth keeping in a dialogue).
        """
        observation, info = super().reset(seed=seed, options=options)
        info["format"] = "tools" if self.rules.native else "text"
        info["transient"] = [STATE_TAG]
        return observation, info

    def failed_call(self, call: ToolCall, problem: str, status: ToolStatus = "error") -> ToolResult:
        """Return the result of a call that was not run, in the form in which the car's functions fail."""
        data = {"ok": False, "error": {"code": "not_available", "message": problem}}
        text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
        return ToolResult(call.name, text, status, call.id)

    def answer_calls(self, results: Sequence[ToolResult]) -> tuple[str, tuple[ToolResult, ...]]:
        """Return results with what comes next, which goes with the last of them."""
        rest = self._observe() if self.request is not None else prompts.stage_text("over")
        bare = [replace(result, content=result.content.removesuffix(f"\n\n{rest}")) for result in results]
        turn = self._answer("", rest, bare, "")
        return turn.observation, tuple(turn.tool_results)

    def view(self) -> dict[str, Json]:
        """Return the current observation in parts: what its text is made of, as plain data.

        Keys: `request`, `feedback` (on the last message), `state_view` (plain or wrapped state, or None where none is shown),
        `api_view` (text on functions, or None), `index` (of the request, from 0) and `num_requests`, `round` and `max_rounds`,
        `stage` ("plan", "select" or "act"), `plan`, `modules` (chosen ones).
        """
        progress, rules = self.progress, self.rules
        shown = None if self.request is None else shown_modules(rules, progress, self.visible)
        functions = progress.selected if rules.mode == "hybrid" and progress.stage == "act" else ()
        return {
            "request": self.request.text if self.request else "",
            "feedback": progress.feedback,
            "state_view": None if shown is None else state_data(rules, self.world, shown),
            "api_view": api_text(self.world.tables, functions) if functions else None,
            "index": progress.index,
            "num_requests": len(self._car_task.requests),
            "round": progress.round,
            "max_rounds": rules.reflections + 1,
            "stage": progress.stage,
            "plan": progress.plan,
            "modules": list(progress.selected),
        }

    def state_hash(self) -> str:
        """Return a digest of the task, the car, and how far its requests have come; messages spent do not count."""
        if self.task is None:
            raise EpisodeStateError("state_hash() was called before reset(); there is no state yet.")
        progress = self.progress
        place = [progress.index, progress.stage, list(progress.selected), progress.plan]
        return digest([self.task.key, self.world.to_json(), self.gold.to_json(), *place])

    def state_dict(self) -> dict[str, Json]:
        """Return `snapshot()` as plain data, for branching searches."""
        state: dict[str, Json] = json.loads(self.snapshot())
        return state

    def load_state_dict(self, state: Mapping[str, Json]) -> None:
        """Continue from what `state_dict` returned."""
        self.restore(seal(state))

    def render(self) -> Any:
        """Return dialogue and cockpit as text ("ansi"), or the car from above, uint8 of shape (H, W, 3) ("rgb_array")."""
        if self.render_mode == "rgb_array":
            from palaestra.envs.vehicle.render.picture import car_picture

            changed = frozenset(change.path for change in self.world.state.changes_since(0))
            return car_picture(self.world.state, changed=changed)
        return super().render()

    @property
    def request(self) -> CarRequest | None:
        """The current request; None after the last."""
        requests = self._car_task.requests
        return requests[self.progress.index] if self.progress.index < len(requests) else None

    @property
    def asked(self) -> tuple[str, ...]:
        """Modules that the task lists."""
        return self._car_task.modules

    # -- hooks ----------------------------------------------------------------------------------------------------

    def _begin(self, task: Task) -> str:
        """Set the car up and put the first request."""
        self._take_task(task)
        self.world = VehicleWorld(self.rules.profile)
        self.world.set_up(self._car_task.setup)
        self.gold = self.world.copy()
        self.progress = Progress(stage=self.rules.first_stage())
        self._tally = [0, 0, 0]
        self._served = Served()
        return self._observe()

    def _act(self, action: str | Message) -> Turn:
        """Let a message do what the current stage is for."""
        message = read_message(action) if isinstance(action, str) else action
        if not message.tool_calls and isinstance(action, Message):
            message = read_message(action.content)  # a server without a parser of its own leaves calls in the content
        if message.error:
            return self._refuse_action(message, message.error)
        if message.tool_calls and not self.rules.native:
            return _refuse(NO_TOOLS)
        if not message.tool_calls and not message.content.strip():
            return _refuse(EMPTY)
        stage, tools = self.progress.stage, self._offer()
        turn = (
            self._keep_plan(message)
            if stage == "plan"
            else self._select(message)
            if stage == "select"
            else self._work(message)
        )
        if self.rules.loads_tools and self._offer() != tools:
            turn.info = {**(turn.info or {}), "tools": self.tools()}
        return turn

    def _save(self) -> Json:
        """Return the car as the current request found it, and what has acted on it since."""
        start = VehicleWorld(self.rules.profile, self.world.state.before(0))
        return {
            "world": start.to_json(),
            "gold": self.gold.to_json(),
            "progress": self.progress.to_json(),
            "served": self._served.to_json(),
        }

    def _load(self, task: Task, state: Json) -> None:
        """Put the car into a saved state, by doing again what had been done."""
        self._take_task(task)
        self.world = VehicleWorld.from_json(state["world"])
        self.gold = VehicleWorld.from_json(state["gold"])
        self.progress = Progress.from_json(state["progress"])
        if not 0 <= self.progress.index <= len(self._car_task.requests):
            raise ValueError("it has come further than there are requests")
        self._served = typed(Served, state["served"])
        self._tally = [0, 0, 0]
        for played in self.progress.played:
            self._carry_out(played)

    def _check_restored(self) -> None:
        """Refuse an episode in play without a request."""
        if self._playing and self.request is None:
            raise ValueError("no request is left")

    def _settings(self) -> dict[str, Json]:
        """Return the options that shape an episode, as they came out."""
        return {"max_turns": self.max_turns, **asdict(self.rules)}

    # -- stages ---------------------------------------------------------------------------------------------------

    def _keep_plan(self, message: Message) -> Turn:
        """Keep the plan for the current request."""
        if message.tool_calls:
            return _refuse(PLAN_FIRST)
        self.progress.plan = message.content.strip()[:MAX_PLAN_CHARS]
        self.progress.stage = self.rules.after_plan()
        return Turn(self._observe())

    def _select(self, message: Message) -> Turn:
        """Read the choice of modules; a message without one declines the request."""
        selection: Selection | None
        if message.tool_calls:
            names = chosen(message.tool_calls[0])
            if names is None or len(message.tool_calls) > 1:
                return _refuse_calls(message, CHOOSE_FIRST)
            selection = choose_modules(names, self.visible)
        else:
            selection = read_selection(message.content, self.visible)
            if selection is None:
                acts = extract_code(message.content, WRITABLE).strip() or self._attempt(message.content)
                return _refuse(CHOOSE_FIRST) if acts else self._finish("")
        problems = "\n".join(selection.problems)
        if selection.problems and not selection.modules:
            text = f"{problems} Modules: {', '.join(self.visible)}."
            return _refuse_calls(message, text) if message.tool_calls else _refuse(text)
        self.progress.selected = selection.modules
        self.progress.stage = "act"
        self.progress.feedback = problems
        text = self._observe()
        return Turn(text, tool_results=[ToolResult(call.name, text, "ok", call.id) for call in message.tool_calls])

    def _work(self, message: Message) -> Turn:
        """Let a message act on the car; one that holds nothing to do ends the request."""
        rules = self.rules
        played: dict[str, Json]
        if message.tool_calls:
            offered = offered_modules(rules, self.visible, self.asked, self.progress)
            calls = json.dumps([call.to_json() for call in message.tool_calls])  # as text: arguments may hold lone surrogates
            played = {"calls": calls, "offered": list(offered)}
        else:
            code = extract_code(message.content, WRITABLE if rules.mode == "sfc" or rules.mixed else PYTHON)
            if not code.strip():
                attempt = self._attempt(message.content)
                return _refuse(attempt) if attempt else self._finish("")
            writes = is_writing(code) if rules.mixed else rules.mode == "sfc"
            played = {"writes": message.content} if writes else {"code": code}
        mark = self.world.state.mark()
        effect = self._carry_out(played)
        progress = self.progress
        progress.played.append(played)
        progress.round += 1
        repeated = progress.round > 1 and effect.feedback == progress.feedback
        progress.feedback = effect.feedback
        progress.opened += tuple(module for module in effect.opened if module not in progress.opened)
        if progress.round > rules.reflections or repeated:
            return self._finish(effect.feedback, effect.results)
        did_nothing = not effect.worked and self.world.state.mark() == mark
        return self._answer(effect.feedback, self._observe(), effect.results, effect.feedback if did_nothing else "")

    def _finish(self, feedback: str, results: Sequence[ToolResult] = ()) -> Turn:
        """Score the current request and go on to the next."""
        request, progress, rules = self.request, self.progress, self.rules
        assert request is not None
        made = self.world.state.changes_since(0)
        gold = gold_effect(self.gold, request.calls)
        past = self.gold.state.before(0)
        verdict = judge_request(self._scope, past, gold.changes, made, gold.degree_paths, agent=self.world.state)
        result = self._request_result(request, made, gold.changes, verdict)
        self.world.state.forget()
        self.gold.state.forget()
        num_requests = len(self._car_task.requests)
        success = verdict.strict.request_success
        self._served.add(verdict.strict)
        progress.next_request(rules.first_stage())
        self._tally = [0, 0, 0]
        terminated = progress.index == num_requests
        solved = terminated and self._served.solved == num_requests
        reward = {
            "requests": success / num_requests,
            "accuracy": verdict.published.accuracy / num_requests,
            "final": float(solved),
        }[rules.reward]
        rest = prompts.stage_text("over") if terminated else self._observe()
        turn = self._answer(feedback, rest, results, "")
        turn.reward, turn.terminated, turn.success = reward, terminated, solved
        turn.metrics = self._served.metrics()
        turn.info = {**(turn.info or {}), "request_result": result}
        return turn

    def _attempt(self, text: str) -> str:
        """Return what to say to a message without code that plainly tries to act; empty if it does not."""
        attempt = find_attempt(text, self.tools())
        if attempt is not None and self.rules.native:
            return unread(attempt)
        return IN_A_FENCE if attempt is not None or looks_like_code(text) else ""

    # -- private --------------------------------------------------------------------------------------------------

    def _take_task(self, task: Task) -> None:
        """Read a task, and find out which modules there are in it."""
        self._car_task = car_task(task)
        self.visible, scored = modules_of(task.key, self._car_task, self.rules)
        self._scope = Scope(scored)

    def _situation(self) -> Situation:
        """Return what the expert looks at."""
        assert self.request is not None
        return Situation(
            self.rules, self.world, self.request, self.progress, self.visible, self.asked, has_acted=self._tally[0] > 0
        )

    def _offer(self) -> tuple[Any, ...]:
        """Return what the tools that are offered depend on."""
        progress = self.progress
        return progress.stage == "act", progress.selected, progress.opened

    def _observe(self) -> str:
        """Return what the agent sees now, the feedback on its last message aside."""
        assert self.request is not None
        return observation(self.rules, self.world, self._car_task.requests, self.progress, self.visible)

    def _carry_out(self, played: Mapping[str, Any]) -> Effect:
        """Let the part of a message that acts do so, and count what it did."""
        visible = None if len(self.visible) == len(MODULES) else self.visible
        if "calls" in played:
            calls = [ToolCall.from_json(call) for call in json.loads(played["calls"])]
            effect = do_calls(self.world, calls, played["offered"], self.visible)
        elif "writes" in played:
            effect = do_writes(self.world, played["writes"], visible)
        else:
            effect = do_code(self.world, played["code"], self.progress.selected if self.rules.mode == "hybrid" else visible)
        for index, count in enumerate((effect.calls, effect.failed, effect.writes)):
            self._tally[index] += count
        return effect

    def _request_result(
        self, request: CarRequest, made: Sequence[Change], wanted: Sequence[Change], verdict: RequestVerdict
    ) -> dict[str, Json]:
        """Return all there is to say about a finished request."""
        calls, failed, writes = self._tally
        return {
            "index": self.progress.index,
            "request": request.text,
            "kinds": list(request.kinds),
            "modules": list(self._car_task.modules),
            "selected": list(self.progress.selected),
            "rounds": self.progress.round,
            "calls": calls,
            "failed_calls": failed,
            "writes": writes,
            "changed": [change.to_json() for change in made],
            "expected": [change.to_json() for change in wanted],
            "missing": list(verdict.strict.missing),
            "wrong": list(verdict.strict.wrong),
            "side_effects": list(verdict.strict.side_effects),
            "scores": verdict.scores(),
        }

    def _answer(self, feedback: str, rest: str, results: Sequence[ToolResult], error: str) -> Turn:
        """Return the turn that tells what a message did, and what comes next."""
        head = format_results(results) if results else feedback
        turn = Turn("\n\n".join(part for part in (head, rest) if part), action_error=error)
        if results:  # models that call natively read results only: what comes next goes with the last of them
            last = results[-1]
            turn.tool_results = (*results[:-1], replace(last, content=f"{last.content}\n\n{rest}"))
        return turn

    def _render_ansi(self) -> str:
        """Return the dialogue of the current turn, and the cockpit with what the current request has changed."""
        if self.task is None:
            return super()._render_ansi()
        changed = frozenset(change.path for change in self.world.state.changes_since(0))
        return f"{super()._render_ansi()}\n\n{cockpit_text(self.world.state, changed)}"


def _refuse(problem: str) -> Turn:
    """Return the turn of a message that did nothing."""
    return Turn(problem, action_error=problem)


def _refuse_calls(message: Message, problem: str) -> Turn:
    """Return the turn of a message whose calls were not carried out."""
    results = [ToolResult(call.name, f"Error: {problem}", "error", call.id) for call in message.tool_calls]
    return Turn(format_results(results) or problem, action_error=problem, tool_results=results)


__all__ = ["VehicleWorldEnv"]
