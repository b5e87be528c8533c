"""Who the speed benchmark compares: each makes a LoRA training step of the same shape, adapter and optimizer."""

from collections.abc import Callable
from importlib import util

import numpy as np

from bioinstruct_jax.config import Train

Step = Callable[[dict[str, np.ndarray]], float]  # does one step, and gives its loss when the device has done it


def ours(job: Train) -> tuple[str, Step]:
    """The program that `train` runs, on all devices."""
    import jax

    from bioinstruct_jax.data.rows import DTYPES
    from bioinstruct_jax.interop import base
    from bioinstruct_jax.model.loss import Batch
    from bioinstruct_jax.training import optimizer, program, sharding, state

    mesh = sharding.make_mesh(job.mesh)
    with jax.set_mesh(mesh):
        plan = state.plan(job, job.model.shape, mesh)
        trained, frozen = base.place(job, plan, base.Base(job.model.shape, None), None)
        adamw = optimizer.make_optimizer(job.optimizer, job.training.steps or 1)
        now = state.start(trained, adamw, mesh)
        run = program.lower(job, plan, adamw, mesh).compile(program.compiler_options(job, mesh))

    def step(rows: dict[str, np.ndarray]) -> float:
        nonlocal now
        batch = Batch(**{name: rows[name][None].astype(DTYPES[name]) for name in Batch._fields})
        with jax.set_mesh(mesh):
            now, measured = run(now, frozen, sharding.put_batch(batch._asdict(), mesh))
        return float(jax.device_get(measured.loss))

    return jax.devices()[0].device_kind, step


def peft(job: Train) -> tuple[str, Step]:
    """transformers + peft: the same shape, adapter, optimizer and clipping."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    flash = device == "cuda" and util.find_spec("flash_attn") is not None
    shape = job.model.shape
    names = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    sizes = {name: getattr(shape, name) for name in (*names, "num_key_value_heads", "max_position_embeddings")}
    config = LlamaConfig(**sizes, rms_norm_eps=shape.rms_norm_eps, use_cache=False)
    config.rope_parameters = {"rope_type": "default", "rope_theta": shape.rope_theta}
    config._attn_implementation = "flash_attention_2" if flash else "sdpa"
    with torch.device(device):
        old, _ = torch.get_default_dtype(), torch.set_default_dtype(torch.bfloat16)
        plain = LlamaForCausalLM(config)
        torch.set_default_dtype(old)
    lora = LoraConfig(
        r=job.lora.rank,
        lora_alpha=int(job.lora.alpha),
        lora_dropout=job.lora.dropout,
        target_modules=list(job.lora.targets),
        task_type="CAUSAL_LM",
    )
    model = get_peft_model(plain, lora)
    if job.model.remat == "full":
        model.enable_input_require_grads()
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    adamw = torch.optim.AdamW(trained, lr=job.optimizer.learning_rate, fused=device == "cuda")

    def step(rows: dict[str, np.ndarray]) -> float:
        arrays = {name: torch.from_numpy(array).long().to(device) for name, array in rows.items()}
        segments = arrays["segments"]
        given = {"input_ids": arrays["tokens"], "position_ids": arrays["positions"]}
        if int(segments.max()) == 1:  # one example a row
            given["attention_mask"] = (segments > 0).long()
        elif flash:  # rows end to end: restarting positions tell segments apart
            real = segments > 0
            given = {name: array[real][None] for name, array in given.items()}
        else:
            causal = torch.ones((segments.shape[1],) * 2, dtype=torch.bool, device=device).tril()
            given["attention_mask"] = (segments[:, None, :, None] == segments[:, None, None, :]) & causal
        first = (arrays["positions"] == 0) | (arrays["weights"] == 0)
        labels = arrays["tokens"].masked_fill(first, -100)
        given["labels"] = labels[segments > 0][None] if given["input_ids"].shape != labels.shape else labels
        loss = model(**given).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, job.optimizer.clip_norm or float("inf"))
        adamw.step()
        adamw.zero_grad(set_to_none=True)
        return loss.item()  # waits for the device

    name = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    return f"{name}, {config._attn_implementation}", step


def tunix(job: Train) -> tuple[str, Step]:
    """Tunix, Google's JAX library for tuning: its LLaMA, its PEFT trainer and qwix's adapters, by public names.

    Its trainer packs nothing itself and lets a caller give the model's inputs: it gets the same packed rows, with a
    mask of segments. Its kernels start as zeros, whose products a GPU does with less power and so faster: all weights
    are drawn at random instead. Its adapters are in the base's dtype, ours are float32.
    """
    import jax
    import jax.numpy as jnp
    import optax
    import qwix
    from flax import nnx
    from tunix import PeftTrainer, TrainingConfig
    from tunix.models.llama3 import model as llama

    shape = job.model.shape
    config = llama.ModelConfig(
        num_layers=shape.num_hidden_layers,
        vocab_size=shape.vocab_size,
        embed_dim=shape.hidden_size,
        hidden_dim=shape.intermediate_size,
        num_heads=shape.num_attention_heads,
        head_dim=shape.head_size,
        num_kv_heads=shape.num_key_value_heads,
        rope_theta=int(shape.rope_theta),
        norm_eps=shape.rms_norm_eps,
        remat_config=llama.RematConfig[{"full": "DECODER", "attention": "BLOCK", "none": "NONE"}[job.model.remat]],
    )
    graph, state = nnx.split(nnx.eval_shape(lambda: llama.Llama3(config, rngs=nnx.Rngs(0))))
    keys = iter(jax.random.split(jax.random.key(0), len(jax.tree.leaves(state))))
    draw = jax.jit(lambda key, shape: jax.random.normal(key, shape, jnp.bfloat16) * 0.02, static_argnums=1)
    filled = jax.tree.map(
        lambda leaf: draw(next(keys), leaf.shape) if leaf.ndim > 1 else jnp.ones(leaf.shape, jnp.bfloat16), state
    )
    plain = nnx.merge(graph, filled)
    places = "|".join(job.lora.targets)
    adapters = qwix.LoraProvider(
        module_path=f".*({places})", rank=job.lora.rank, alpha=job.lora.alpha, dropout=job.lora.dropout
    )
    model = qwix.apply_lora_to_model(plain, adapters, **plain.get_model_input(), rngs=nnx.Rngs(0))
    model.set_attributes(qwix_rngs=nnx.Rngs(1))  # of the dropout
    adamw = optax.chain(
        optax.clip_by_global_norm(job.optimizer.clip_norm or float("inf")), optax.adamw(job.optimizer.learning_rate)
    )

    def given(rows: dict[str, jax.Array]) -> dict[str, jax.Array]:
        segments, positions = rows["segments"], rows["positions"]
        causal = jnp.tril(jnp.ones((segments.shape[1],) * 2, bool))
        return {
            "input_tokens": rows["tokens"],
            "input_mask": (rows["weights"] > 0) & (positions > 0),  # the first token of a segment is nobody's target
            "positions": positions,
            "attention_mask": (segments[:, :, None] == segments[:, None, :]) & causal,
        }

    trainer = PeftTrainer(model, adamw, TrainingConfig(eval_every_n_steps=1)).with_gen_model_input_fn(given)
    run, _ = trainer.jit_train_and_eval_step(cache_nnx_graph=True)

    def step(rows: dict[str, np.ndarray]) -> float:
        loss, _, _ = run(rows)
        return float(loss)  # waits for the device

    return f"{jax.devices()[0].device_kind}, its own attention", step
