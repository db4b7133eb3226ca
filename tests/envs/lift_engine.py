"""The engine of `LiftEnv`: a lift in a process of its own, driven by lines of JSON. It knows nothing of Palaestra.

    python -I -S lift_engine.py [SECONDS_PER_STEP]

Its state (floors, doors, and a generator that makes the lift stick) cannot be copied: it can only be led there.
"""

import json
import os
import random
import sys
import time


class Lift:
    def __init__(self) -> None:
        self.floor = self.goal = self.sticks = 0
        self.chance = random.Random()

    def load(self, goal: int, seed: int) -> str:
        self.chance = random.Random(seed)
        self.floor, self.goal, self.sticks = self.chance.randint(0, 1), goal, 0
        return f"floor {self.floor}, wanted on floor {self.goal}"

    def act(self, text: str) -> dict:
        word = text.strip().lower()
        if word not in ("up", "down", "open"):
            return {"told": f'floor {self.floor}. The lift knows "up", "down" and "open".', "refused": True}
        if word == "open":
            is_there = self.floor == self.goal
            told = "somebody gets in" if is_there else "nobody is there"
            return {"told": f"floor {self.floor}, the doors open: {told}", "over": is_there}
        if self.chance.random() < 0.2:
            self.sticks += 1
            return {"told": f"floor {self.floor}, the lift sticks"}
        self.floor += 1 if word == "up" else -1
        return {"told": f"floor {self.floor}"}


def main() -> None:
    lift, seconds = Lift(), float(sys.argv[1]) if len(sys.argv) > 1 else 0.0
    for line in sys.stdin:
        name, *args = json.loads(line)
        if name == "load":
            answer = lift.load(*args)
        elif name == "act":
            time.sleep(seconds)
            answer = lift.act(*args)
        elif name == "state":
            answer = [lift.floor, lift.goal, lift.sticks]
        elif name == "hang":
            time.sleep(3600)
        elif name == "die":
            print("the rope broke", file=sys.stderr, flush=True)
            os._exit(7)
        else:
            raise ValueError(name)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
