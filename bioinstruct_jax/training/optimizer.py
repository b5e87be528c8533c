"""AdamW with warm-up, decay and clipping, from optax."""

import optax

from bioinstruct_jax.config import Optimizer


def schedule(config: Optimizer, steps: int) -> optax.Schedule:
    """Learning rate by step: a linear rise over the warm-up, then down to zero at `steps` (or level, if constant).

    The first step of a warm-up already moves, at rate / warm-up. With f the schedule of that name in transformers,
    whose first step stands still, the rate at step t is max(f(t), f(t + 1)): one step ahead in the warm-up, and equal
    from the peak on or where there is no warm-up.
    """
    peak, warmup = config.learning_rate, config.warmup(steps)
    rest = max(steps - warmup, 1)
    after = {
        "cosine": optax.cosine_decay_schedule(peak, rest),
        "linear": optax.linear_schedule(peak, 0.0, rest),
        "constant": optax.linear_schedule(peak, peak, rest),  # an array for an array of steps
    }[config.schedule]
    if not warmup:
        return after
    rise = optax.linear_schedule(peak / warmup, peak, max(warmup - 1, 1))
    return optax.join_schedules([rise, after], [warmup])


def make_optimizer(config: Optimizer, steps: int) -> optax.GradientTransformation:
    """Clip by global norm (if asked), then AdamW; its state has the shardings of what it trains."""
    adamw = optax.adamw(
        schedule(config, steps), b1=config.b1, b2=config.b2, eps=config.eps, weight_decay=config.weight_decay
    )
    clip = optax.identity() if config.clip_norm is None else optax.clip_by_global_norm(config.clip_norm)
    return optax.chain(clip, adamw)  # the same tree either way, so that a run can go on with the other
