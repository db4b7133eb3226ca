"""Make calls of tools go wrong on purpose, and see who recovers: the expert, and an agent that gives up at once."""

import gymnasium as gym

import palaestra  # noqa: F401  (registers palaestra/*)
from palaestra.envs import InjectErrors, RecordTrajectory
from palaestra.envs.wrappers.injection import summarise


def play(env, seed, gives_up):
    """Play an episode as the expert does, or say after the first error that everything is done."""
    env.reset(seed=seed)
    info = {}
    for action in env.get_wrapper_attr("expert")():
        *_, terminated, truncated, info = env.step("Done." if gives_up and "injection" in info else action)
        if "injection" in info and seed == 0:
            print("  ", info["injection"]["label"], "->", info["tool_results"][0].content[:70])
        if terminated or truncated:
            return


for mode, label in (("outage", "rate_limit"), ("slip", "parameters_key_error")):
    for gives_up in (False, True):
        env = RecordTrajectory(InjectErrors(gym.make("palaestra/Desk-v0"), plan={"label": label}, mode=mode))
        print(f"{mode}, {'gives up' if gives_up else 'expert'}:")
        for seed in range(20):
            play(env, seed, gives_up)
        figures = summarise(env.trajectories)[label]
        print(f"   recovered {figures['recovered']:.0%} of {figures['episodes']}: {figures['behaviours']}")
