import random

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim

# settings: begin
STEPS, BATCH_SIZE, SEQ_LEN, SEED, RANKS = 10, 2, 32, 0, 1
MODEL, TRAIN, OPTIMIZER, LEARNING_RATE, DTYPE, DEVICE = "tiny", None, "adamw", 0.001, None, None
# settings: end

# only: built_in
# A Llama of this many (hidden units, layers, units of the MLP); 4 heads, 2 for keys and values.
SIZES = {"tiny": (64, 2, 172), "micro": (32, 1, 86)}
HEADS, KV_HEADS, VOCABULARY = 4, 2, 256


class Attention(nn.Module):
    def __init__(self, dim):
        super().__init__()
        head = dim // HEADS
        self.q_proj = nn.Linear(dim, HEADS * head, bias=False)
        self.k_proj = nn.Linear(dim, KV_HEADS * head, bias=False)
        self.v_proj = nn.Linear(dim, KV_HEADS * head, bias=False)
        self.o_proj = nn.Linear(HEADS * head, dim, bias=False)
        self.rope = nn.RoPE(head, base=10000)

    def __call__(self, x):
        batch, length, dim = x.shape
        q, k, v = (
            y.reshape(batch, length, n, -1).transpose(0, 2, 1, 3)
            for y, n in (
                (self.q_proj(x), HEADS),
                (self.k_proj(x), KV_HEADS),
                (self.v_proj(x), KV_HEADS),
            )
        )
        scale = (dim // HEADS) ** -0.5
        q, k = self.rope(q), self.rope(k)
        y = mx.fast.scaled_dot_product_attention(q, k, v, scale=scale, mask="causal")
        return self.o_proj(y.transpose(0, 2, 1, 3).reshape(batch, length, -1))


class MLP(nn.Module):
    def __init__(self, dim, hidden):
        super().__init__()
        self.gate_proj = nn.Linear(dim, hidden, bias=False)
        self.down_proj = nn.Linear(hidden, dim, bias=False)
        self.up_proj = nn.Linear(dim, hidden, bias=False)

    def __call__(self, x):
        return self.down_proj(nn.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):
    def __init__(self, dim, hidden):
        super().__init__()
        self.self_attn = Attention(dim)
        self.mlp = MLP(dim, hidden)
        self.input_layernorm = nn.RMSNorm(dim, eps=1e-5)
        self.post_attention_layernorm = nn.RMSNorm(dim, eps=1e-5)

    def __call__(self, x):
        x = x + self.self_attn(self.input_layernorm(x))
        return x + self.mlp(self.post_attention_layernorm(x))


class Decoder(nn.Module):
    def __init__(self, dim, layers, hidden):
        super().__init__()
        self.embed_tokens = nn.Embedding(VOCABULARY, dim)
        self.layers = [Block(dim, hidden) for _ in range(layers)]
        self.norm = nn.RMSNorm(dim, eps=1e-5)

    def __call__(self, x):
        x = self.embed_tokens(x)
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)


class Llama(nn.Module):
    def __init__(self, dim, layers, hidden):
        super().__init__()
        self.model = Decoder(dim, layers, hidden)

    def __call__(self, x):
        return self.model.embed_tokens.as_linear(self.model(x))

    @property
    def layers(self):
        return self.model.layers


# end


def build():
    """The model, and what turns a text into tokens."""
    mx.random.seed(SEED)
    # only: built_in
    model, encode = Llama(*SIZES[MODEL]), lambda text: list(text.encode())
    # end
    # only: loaded
    from mlx_lm import load

    model, tokenizer = load(MODEL)[:2]
    encode = tokenizer.encode
    # end
    # only: dtype
    model.set_dtype(getattr(mx, DTYPE))
    # end
    # only: lora
    quantized = any(hasattr(module, "bits") for _, module in model.named_modules())
    if TRAIN == "lora" or (TRAIN is None and quantized):
        from mlx_lm.tuner.utils import linear_to_lora_layers

        model.freeze()
        lora = {"rank": 8, "scale": 20.0, "dropout": 0.0}
        linear_to_lora_layers(model, len(model.layers), lora)
    # end
    # only: last
    model.freeze()
    for block in model.layers[-int(TRAIN[5:]) :]:
        block.unfreeze()
    # end
    model.train()
    mx.eval(model.parameters())
    return model, encode


class Training:
    """The arguments of a step's maker."""

    step = -1
    rank = 0

    # only: .settings
    class Settings:
        steps, batch_size, seq_len, seed, ranks = STEPS, BATCH_SIZE, SEQ_LEN, SEED, RANKS
        model, train, optimizer, dtype, device = MODEL, TRAIN, OPTIMIZER, DTYPE, DEVICE
        learning_rate = LEARNING_RATE

    settings = Settings

    # end

    def __init__(self):
        self._encode = None
        # only: ranks
        self.rank = mx.distributed.init(strict=True).rank()
        # end

    def __getattr__(self, name):
        # Made when they are asked for: some steps bring their own.
        if name == "model":
            self.model, self._encode = build()
        elif name == "optimizer":
            make = {"adamw": optim.AdamW, "adam": optim.Adam, "sgd": optim.SGD,
                    "lion": optim.Lion, "adafactor": optim.Adafactor}[OPTIMIZER]  # fmt: skip
            self.optimizer = make(learning_rate=LEARNING_RATE)
            # only: ranks
            self.optimizer = averaged(self.optimizer)
            # end
        else:
            raise AttributeError(name)
        return self.__dict__[name]

    @property
    def state(self):
        return [self.model.state, self.optimizer.state]

    # only: .last_step
    @property
    def last_step(self):
        return self.step == STEPS - 1

    # end
    def batches(self):
        from pydoc_data.topics import topics

        text = "\n".join(topics[name] for name in sorted(topics))[:200_000]
        if "model" not in self.__dict__:
            _ = self.model
        tokens = self._encode(text) if self._encode else list(text.encode())
        draw = random.Random(SEED + self.rank)
        while True:
            starts = [draw.randint(0, len(tokens) - SEQ_LEN - 1) for _ in range(BATCH_SIZE)]
            window = mx.array([tokens[start : start + SEQ_LEN + 1] for start in starts])
            yield window[:, :-1], window[:, 1:]

    def loss(self, model, inputs, targets):
        logits = model(inputs).astype(mx.float32)
        return nn.losses.cross_entropy(logits, targets, reduction="mean")

    # only: .value_and_grad
    def value_and_grad(self):
        return nn.value_and_grad(self.model, self.loss)

    # end
    # only: .watch
    def watch(self, model, optimizer=None):
        self.model = model
        if optimizer is not None:
            self.optimizer = averaged(optimizer)

    # end
    # only: .phase
    def phase(self, name):
        pass

    # end
    # only: .gradients
    def gradients(self, gradients):
        from mlx.utils import tree_flatten

        squares = [mx.sum(mx.square(g.astype(mx.float32))) for _, g in tree_flatten(gradients)]
        print("gradient norm", mx.sqrt(sum(squares, mx.array(0.0))).item(), flush=True)

    # end
    # only: .check
    def check(self, name, value, expected, tolerance=1e-4):
        print(name, value, "expected", expected, flush=True)

    # end


# only: ranks .watch
def averaged(optimizer):
    if RANKS > 1:
        apply = optimizer.apply_gradients
        optimizer.apply_gradients = lambda g, p: apply(nn.average_gradients(g), p)
    return optimizer


# end
# only: module
def module(name, source):
    """Something that the step imports."""
    import sys
    import types

    made = sys.modules[name] = types.ModuleType(name)
    exec(compile(source, f"{name}.py", "exec"), made.__dict__)
    return made


# end
def main(make_step, batches=None):
    # only: device
    mx.set_default_device(getattr(mx, DEVICE))
    # end
    training = Training()
    random.seed(SEED + training.rank)
    mx.random.seed(SEED + training.rank)
    step = make_step(training)
    data = iter(batches(training)) if batches else training.batches()
    for training.step in range(STEPS):
        batch = next(data)
        loss = step(*batch) if isinstance(batch, tuple) else step(batch)
        text = "not read" if loss is None else loss.item()
        active = mx.get_active_memory()
        print(f"step {training.step}: loss {text}, active_memory {active} bytes", flush=True)
    mx.eval(training.state)
    print("completed")
