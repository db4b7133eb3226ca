"""Train a tiny policy with GRPO on a toy environment: cloned a little, then trained on reward alone. 20 s of CPU."""

import sys
import tempfile

import gymnasium as gym

from palaestra import train
from palaestra.algorithms import parse_recipe
from palaestra.envs import GeneratedTasks, Task, TextEnv, Turn

RIGHT = {"red": "stop", "amber": "slow", "green": "go", "flashing": "slow", "dark": "stop", "blue": "go"}


class LightsEnv(TextEnv):
    """Answer four traffic lights; the reward is the share of right answers, success is all four."""

    def __init__(self, **options):
        """Draw lights from the episode's seed; all tasks are alike."""
        tasks = GeneratedTasks(lambda split, i: Task(f"{split}/{i}", split), {"train": None, "test": 400})
        super().__init__(tasks, **options)
        self.lights, self.answers = [], []

    def _begin(self, task):
        self.lights = [str(light) for light in self.np_random.choice(list(RIGHT), size=4)]
        self.answers = []
        return self.lights[0]

    def _act(self, action):
        self.answers.append(action if isinstance(action, str) else action.content)
        if len(self.answers) < 4:
            return Turn(self.lights[len(self.answers)])
        score = sum(RIGHT[light] == answer for light, answer in zip(self.lights, self.answers, strict=True)) / 4
        return Turn("over", reward=score, terminated=True, success=score == 1)

    def _save(self):
        return {"lights": self.lights, "answers": self.answers}

    def _load(self, task, state):
        self.lights, self.answers = list(state["lights"]), list(state["answers"])

    def expert(self):
        """Know the rules."""
        while len(self.answers) < 4:
            yield RIGHT[self.lights[len(self.answers)]]


gym.register("example/Lights-v0", entry_point=LightsEnv)
RECIPE = {
    "name": "lights",
    "env": {"id": "example/Lights-v0"},
    "model": {
        "hidden_size": 32,
        "num_layers": 2,
        "num_heads": 2,
        "vocab_size": 320,
        "max_positions": 128,
        "corpus_episodes": 32,
    },
    "agent": {"instructions": False, "max_tokens_per_turn": 4},
    "evaluation": {"n": 200, "baselines": []},
    "sft": {"episodes": 48, "epochs": 14, "batch_size": 16, "lr": 3e-3, "warmup_updates": 2},
    "grpo": {"steps": 40, "tasks_per_step": 8, "group_size": 8, "lr": 2e-3, "warmup_updates": 2},
}

if __name__ == "__main__":
    folder = sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp()
    result = train(parse_recipe(RECIPE), store=folder)
    for name, arm in (("before", "cloned"), ("after", "trained")):
        success = result.arms[arm].summary.success
        print(f"{name + ':':8} success {success.mean:.0%}, 95 % interval {success.low:.0%} to {success.high:.0%}")
    print(f"trained for {result.seconds:.0f} s; the policy plays as hf:{result.policy_path}")
