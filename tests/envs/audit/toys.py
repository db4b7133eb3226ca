"""Small environments for the tests of the audit: a room of lamps, with knobs for what can be wrong with it."""

import contextlib
import itertools

import gymnasium
import numpy as np

from palaestra.envs.audit import Subject
from palaestra.envs.core.tasks import GeneratedTasks, Task
from palaestra.envs.core.text_env import TextEnv, Turn
from palaestra.results.metrics import NOTHING_TO_DO

LAMPS = ("attic", "cellar", "garden", "hall", "kitchen", "library", "nursery", "office", "pantry", "study", "tower", "yard")


def sample(rng):
    """Draw an action."""
    return f"{('on', 'off')[int(rng.integers(2))]} {LAMPS[int(rng.integers(len(LAMPS)))]}"


class Lamps(TextEnv):
    """Switch lamps: `on LAMP`, `off LAMP`; any other words end the episode. Paid if the lamps are as they were wanted.

    Subclasses change one thing each. Every third task is of type "two" and wants two lamps on, the others want three; where
    the setting has `idle`, every such task wants what holds already.
    """

    full_return = 1.0
    metrics = (NOTHING_TO_DO,)
    sizes = (("train", None), ("test", 60))
    idle = 0

    def __init__(self, *, split=None, max_turns=None, render_mode=None):
        self.lit = {}
        tasks = GeneratedTasks(self.make_task, dict(self.sizes))
        super().__init__(tasks, split=split or self.sizes[0][0], max_turns=max_turns, sampler=sample, render_mode=render_mode)

    def make_task(self, split, index):
        rng = np.random.default_rng([5, split == "test", index])
        names = [LAMPS[int(i)] for i in rng.permutation(len(LAMPS))]
        num = 3 if index % 3 else 2
        is_idle = self.idle and index % self.idle == 0
        lit = sorted(names[:num] if is_idle else names[num : num + 3])
        data = {"wanted": names[:num], "lit": lit, "dark": names[-2:], "floor": index % 4, "nothing": bool(is_idle)}
        return Task(f"{split}/{index}", split, ("three", "two")[num == 2], data)

    def instructions(self):
        return "Switch on what is wanted, leave the rest; then say that you are done."

    def expert(self):
        if self.task is not None:
            for name in self.task.data["wanted"]:
                if not self.lit[name]:
                    yield f"on {name}"
            yield "All lamps are set."

    def _begin(self, task):
        self.lit = {name: name in task.data["lit"] for name in LAMPS}
        wanted, lit, dark = (", ".join(map(repr, task.data[name])) for name in ("wanted", "lit", "dark"))
        return f"Wanted: {wanted}. Lit are {lit}; {dark} must stay dark."

    def _act(self, action):
        text = action if isinstance(action, str) else action.content
        verb, _, name = text.strip().partition(" ")
        if verb in ("on", "off") and name in LAMPS:
            return self.switched(name, verb == "on")
        if verb in ("on", "off"):
            return Turn("There is no such lamp.", action_error="There is no such lamp.")
        turn = Turn("It is over.", float(self.is_right(text)), True, self.is_right(text))
        turn.metrics = {NOTHING_TO_DO.name: float(self.task.data["nothing"])}
        return turn

    def switched(self, name, is_on):
        self.lit[name] = is_on
        return Turn(f"{name} is {'on' if is_on else 'off'}.")

    def is_right(self, text):
        del text
        return self.lit == {name: name in self.task.data["wanted"] + self.task.data["lit"] for name in LAMPS}

    def _save(self):
        return dict(self.lit)

    def _load(self, task, state):
        del task
        self.lit = dict(state)


NUMBERS = itertools.count()


@contextlib.contextmanager
def registered(env, **kwargs):
    """Register a class for a while and yield its id."""
    env_id = f"audited/Toy{next(NUMBERS)}-v0"
    gymnasium.register(env_id, entry_point=env, kwargs=kwargs, order_enforce=False)
    try:
        yield env_id
    finally:
        gymnasium.registry.pop(env_id)


@contextlib.contextmanager
def audited(env, n=12, **options):
    """Yield the subject of a class under audit."""
    with registered(env) as env_id:
        subject = Subject(env_id, n=n, **options)
        try:
            yield subject
        finally:
            subject.close()


def judged(judge, env, n=12):
    """Return the points of a judge by name."""
    with audited(env, n) as subject:
        return {point.name: point for point in judge(subject)}
