"""What was seen in the lines and in the picture of the demo's experiment, in words."""

REMARKS = (
    "GRPO gains little on this clone: a few points, at depth 2 alone, and over seeds not certainly above 0. The same CPU "
    "seconds spent on more cloning gain several times as much, with every seed, at both depths. Where an expert plays for "
    "free, this is where compute belongs.",
    "What limits GRPO: the clone solves most of depth 1 and few tasks of depth 2. There it fails with its first turns, which "
    "ask for items that cannot be had; which item can is two recipes away from the goal. GRPO learns of it only from the "
    "episodes that hit on it, a few a step, and about two of five groups are all equal even after a refill. Cloning is "
    "shown it in every episode.",
    "In the picture success at depth 2 rises slowly, in training and on test tasks, and still does at the end. Depth 1 dips "
    "in the first 20 steps, while the rate is highest, and comes back as it decays; seed 4 falls to half of its success "
    "there, and it is the one whose `alarm_entropy` rings. The divergence from the clone exceeds half a nat a token with "
    "all seeds but one. On test tasks the share of turns that are not a command rises, at both depths.",
    "Success in training is of the groups that are kept: those that refills replaced, all solved or all failed, are not in "
    "it. It does not estimate success on the tasks of a phase.",
    "Settings were chosen on seeds 101 and 102, in part with three distractors: there a rate of 3e-3 with groups of 16 took "
    "depth 2 from 16 to 2 % of the training episodes in 50 steps, and GiGPO at 1.5e-3 stayed where it was in 38. No rate "
    "below 1.5e-3, and no longer run, has been tried from such a clone.",
    "Seeds 1 and 2 were begun with a clone of 5,000 episodes, which solved 33 % and 5 % of 64 test tasks; the clone was made "
    "larger, and they are not reported. The machine was busy with other work, which makes CPU seconds longer for all alike.",
)
