import gymnasium

import palaestra  # noqa: F401  (registers the environments)
from palaestra.envs import InjectErrors, RecordTrajectory
from palaestra.envs.wrappers.injection.summary import error_of, has_recovered, summarise, was_injected


def played(agent, seeds=range(3), **settings):
    """Play some episodes with "expert", or with "stubborn", which answers at once after the first failure."""
    env = RecordTrajectory(InjectErrors(gymnasium.make("palaestra/Desk-v0", difficulty="hard"), **settings))
    for seed in seeds:
        env.reset(seed=seed)
        is_over, actions = False, env.get_wrapper_attr("expert")()
        while not is_over:
            failed = agent == "stubborn" and env.get_wrapper_attr("injection").record is not None
            *_, terminated, truncated, _ = env.step("All is done." if failed else next(actions))
            is_over = terminated or truncated
    return env.trajectories


def test_figures_are_by_label_and_tell_recovery_from_giving_up():
    plan = {"step": 2, "label": "timeout"}
    good, bad = (played(agent, mode="outage", plan=plan) for agent in ("expert", "stubborn"))
    figures = summarise([*good, *bad])["timeout"]
    assert (figures["episodes"], figures["success"], figures["recovered"]) == (6, 0.5, 0.5)
    assert figures["behaviours"] == {"hallucinated_success": 3, "retry_succeeded": 3}
    assert (figures["retries"], figures["steps_to_recovery"], figures["value"]) == (0.5, 1.0, 0.5)
    assert [has_recovered(one) for one in (*good, *bad)] == [True] * 3 + [False] * 3


def test_errors_of_a_prefix_and_episodes_without_any_are_told_apart():
    (shown,) = played("expert", range(1), mode="prefix", plan={"step": 1, "label": "parameters_key_error"})
    (free,) = played("expert", range(1), mode="slip", plan={"step": 1, "label": ""}, critique="text")
    assert (was_injected(shown), error_of(shown), was_injected(free)) == (True, None, False)
    figures = summarise([shown, free])
    assert list(figures) == ["", "prefix"]
    assert figures[""]["over_reflection"] == 0.0
