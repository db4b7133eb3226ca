"""Write an environment: a world, its tasks, four hooks, one line to register. The checker does the rest."""

from dataclasses import dataclass

import gymnasium as gym

from palaestra.envs import GeneratedTasks, Task, TextEnv, Turn, check_environment


@dataclass(frozen=True)
class AnyNumber:
    """Draws well-formed actions."""

    top: int

    def __call__(self, rng):
        """Draw a guess."""
        return str(rng.integers(1, self.top + 1))


def make_task(split: str, index: int) -> Task:
    """Even numbers are for training, odd ones for testing: no goal is in both."""
    return Task(f"{split}/{index}", split, data={"goal": 2 * (index * 37 % 50) + (2 if split == "train" else 1)})


class GuessEnv(TextEnv):
    """Guess a number from 1 to 100. Reward 1.0 when it is found."""

    def __init__(self, **options):
        """Say how tasks and actions are made."""
        super().__init__(GeneratedTasks(make_task, {"train": 50, "test": 50}), sampler=AnyNumber(100), **options)
        self.guesses: list[int] = []

    def instructions(self):
        """Tell the rules once."""
        return "Guess my number from 1 to 100. Answer with the number alone."

    def _begin(self, task):
        self.guesses = []
        return "What is my number?"

    def _act(self, action):
        text = (action if isinstance(action, str) else action.content).strip()
        if not (text.isascii() and text.isdecimal() and 1 <= int(text[:4]) <= 100):
            problem = f"{text[:40]!r} is not a number from 1 to 100. Answer with the number alone."
            return Turn(problem, action_error=problem)
        guess, goal = int(text), self.task.data["goal"]
        self.guesses.append(guess)
        if guess == goal:
            return Turn("That is it.", reward=1.0, terminated=True, success=True)
        return Turn("Higher." if guess < goal else "Lower.")

    def _save(self):
        return self.guesses

    def _load(self, task, state):
        self.guesses = list(state)

    def expert(self):
        """Halve what is left: seven guesses are enough."""
        goal, low, high = self.task.data["goal"], 1, 100
        while low <= high:
            middle = (low + high) // 2
            yield str(middle)
            low, high = (middle + 1, high) if middle < goal else (low, middle - 1)


gym.register(
    "example/Guess-v0",
    entry_point=GuessEnv,
    vector_entry_point="palaestra.envs.core.vector:example/Guess-v0",
    kwargs={"max_turns": 20},
    order_enforce=False,  # the environment checks the order itself, with better messages
)

if __name__ == "__main__":
    env = gym.make("example/Guess-v0")
    print(env.reset(seed=0)[0])
    for action in env.unwrapped.expert():
        print(f"> {action}\n{env.step(action)[0]}")
    print(check_environment("example/Guess-v0"))
