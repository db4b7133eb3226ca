"""Any environment as a Task of inspect-ai. Needs inspect-ai (`pip install inspect-ai`).

The expert plays as a mock model: no key, no network. With a real one, and inspect-ai's own command:
`inspect eval inspect_ai_task.py --model openai/MODEL -T env_id=palaestra/Desk-v0 -T n=20`
"""

import tempfile

import gymnasium as gym
from inspect_ai import Task, task
from inspect_ai import eval as inspect_eval
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ModelOutput, ModelUsage, get_model, messages_from_openai
from inspect_ai.scorer import Score, Scorer, accuracy, mean, scorer, stderr
from inspect_ai.solver import Solver, solver
from inspect_ai_model import InspectBackend  # the example next to this one

from palaestra.agents import EpisodePlan, LLMAgent, RolloutEngine


@task
def palaestra_task(env_id: str = "palaestra/Desk-v0", split: str = "test", n: int = 10, max_turns: int = 20) -> Task:
    """Ask for the first tasks of a split: a sample for each, by its key."""
    tasks = gym.make(env_id).unwrapped.tasks.split(split).first(n)
    dataset = MemoryDataset([Sample(id=one.key, input=one.key) for one in tasks], name=env_id)
    return Task(dataset=dataset, solver=play(env_id, max_turns), scorer=outcome())


@solver
def play(env_id: str, max_turns: int) -> Solver:
    """Play an episode with the model that is evaluated."""

    async def solve(state, generate):
        key = str(state.sample_id)
        plan = EpisodePlan(f"{key}-{state.epoch}", env_id, task_key=key, seed=state.epoch, max_turns=max_turns)
        agent = LLMAgent(InspectBackend(get_model()))
        [episode] = [episode async for episode in RolloutEngine(1).run([plan], agent)]
        if episode.outcome.error:
            raise RuntimeError(f"{episode.outcome.error.boundary}: {episode.outcome.error.message}")
        state.messages = await messages_from_openai([message.to_openai() for message in episode.messages()])
        state.metadata |= {"success": episode.outcome.success, "return": episode.return_}
        return state

    return solve


@scorer(metrics={"success": [accuracy(), stderr()], "return": [mean(), stderr()]})
def outcome() -> Scorer:
    """Read success and return of the episode."""

    async def score(state, target):
        return Score(value={"success": float(state.metadata["success"]), "return": state.metadata["return"]})

    return score


if __name__ == "__main__":
    env = gym.make("palaestra/Desk-v0")
    plans = {}  # the expert's actions, by the opening of their task
    for one in env.unwrapped.tasks.split("test").first(10):
        opening, _ = env.reset(seed=1, options={"task": one.key})
        plans[opening] = [(action, env.step(action))[0] for action in env.unwrapped.expert()]

    def expert(messages: list, *_: object) -> ModelOutput:
        """Write the expert's next action."""
        [opening] = [message.text for message in messages if message.text in plans]
        output = ModelOutput.from_content("mock", plans[opening][sum(message.role == "assistant" for message in messages)])
        output.usage = ModelUsage(input_tokens=80, output_tokens=4, total_tokens=84)  # counting them would need a download
        return output

    model = get_model("mockllm/model", custom_outputs=expert)
    [log] = inspect_eval(palaestra_task(), model=model, display="none", log_dir=tempfile.mkdtemp())
    print(log.status, {score.name: [metric.value for metric in score.metrics.values()] for score in log.results.scores})
    print(len(log.samples), "samples;", [message.role for message in log.samples[0].messages])
