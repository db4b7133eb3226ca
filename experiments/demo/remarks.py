"""What was seen in the lines and in the picture of the demo's experiment, in words."""

REMARKS = (
    "GRPO hardly moves this clone. The same CPU seconds spent on more cloning gain far more, with every seed, on both depths. "
    "Where an expert plays for free, this is where compute belongs.",
    "What limits GRPO: the clone solves most of depth 1 and a tenth of depth 2. There it fails with its first turns, which "
    "ask for items that cannot be had; which item can is two recipes away from the goal. GRPO learns of it only from the "
    "episodes that hit on it, a few a step, and about two of five groups are all equal even after a refill. Cloning is "
    "shown it in every episode.",
    "In the picture seed 3 rises slowly, at depth 2 most, and stays near its clone. Seed 4 falls to half of its success on "
    "test tasks by step 20, diverges by up to one nat a token around step 40 and comes back to its clone as the rate decays; "
    "its entropy doubles, and `alarm_entropy` rings.",
    "Success in training is of the groups that are kept: those that refills replaced, all solved or all failed, are not in "
    "it. It does not estimate success on the tasks of a phase.",
    "Settings were chosen on seeds 101 and 102, in part with three distractors: there a rate of 3e-3 with groups of 16 took "
    "depth 2 from 16 to 2 % of the training episodes in 50 steps, and GiGPO at 1.5e-3 stayed where it was in 38. No rate "
    "below 1.5e-3 has been tried from such a clone.",
    "Seeds 1 and 2 were begun with a clone of 5,000 episodes, which solved 33 % and 5 % of 64 test tasks; the clone was made "
    "larger, and they are not reported. Five seeds were planned; the lines are those that are through. The machine was busy "
    "with other work, which makes CPU seconds longer for all alike.",
)
