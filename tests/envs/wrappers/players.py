"""Players of the miniature environment: one that solves an episode, one that does not."""

NEAR = {"task": "train/0"}


def solve(env, seed=0, options=None, detour=0):
    """Play an episode to its success and return the rewards and the last info."""
    env.reset(seed=seed, options=options or NEAR)
    rewards, info = [], {}
    for action in ["down"] * detour + ["up"] * 30:
        _, reward, terminated, truncated, info = env.step(action)
        rewards.append(reward)
        if terminated or truncated:
            break
    return rewards, info


def fail(env, seed=0, turns=3):
    """Play an episode that is truncated and return the rewards and the last info."""
    env.reset(seed=seed, options=NEAR)
    results = [env.step("down") for _ in range(turns)]
    return [result[1] for result in results], results[-1][-1]
