"""Called by lora.ts: low-rank adapters of a model that stays as it is."""

import io
import os
import tarfile

import torch
from berth import enter, method
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from transformers import LlamaConfig, LlamaForCausalLM

TEXT = "low rank adapters change a large model by training a small part of it. "
EVERY, LENGTH, BATCH = 10, 32, 16
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def base():
    """What would be `from_pretrained(…)` in earnest: here a small one, made anew and always the same, whose tokens are bytes."""
    torch.manual_seed(7)
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    return LlamaForCausalLM(LlamaConfig(vocab_size=128, max_position_embeddings=256, initializer_range=0.2, **sizes)).to(DEVICE)


def finetune(input, ctx):
    layers = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    model = get_peft_model(base(), LoraConfig(r=16, lora_alpha=32, target_modules=layers, task_type="CAUSAL_LM"))
    optimizer = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad], lr=5e-3)
    saved = load(ctx.checkpoint.load())
    if saved:
        set_peft_model_state_dict(model, saved["adapters"])
        optimizer.load_state_dict(saved["optimizer"])
    resumed_at = step = saved["step"] if saved else 0
    while step < input["steps"] and not ctx.cancelled.is_set():
        tokens = batch(step)
        loss = model(input_ids=tokens, labels=tokens).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
        if step % EVERY == 0:
            ctx.report(step=step, loss=loss.item())
            ctx.progress(step, input["steps"])
            adapters, state = get_peft_model_state_dict(model), optimizer.state_dict()
            ctx.checkpoint.save(dump({"step": step, "adapters": adapters, "optimizer": state}))
        if ctx.attempt == 1 and step == input.get("failAfter"):
            raise RuntimeError("The machine is gone")
    version = ctx.artifact("lora-adapter", packed(model))["version"]
    return {"device": DEVICE, "attempt": ctx.attempt, "resumedAt": resumed_at, "loss": loss.item(), "version": version}


class Writer:
    @enter
    def load(self, ctx):
        folder = os.path.join(os.environ["BERTH_SLOT"], "adapter")
        with tarfile.open(ctx.artifact_file("lora-adapter")) as tar:
            tar.extractall(folder)
        self.model = PeftModel.from_pretrained(base(), folder).eval()

    @method
    def write(self, beginning):
        tokens = torch.tensor([list(beginning.encode("ascii"))], device=DEVICE)
        with torch.no_grad():
            for _ in range(60):
                best = self.model(input_ids=tokens).logits[:, -1].argmax(-1, keepdim=True)
                tokens = torch.cat([tokens, best], 1)
        return bytes(tokens[0].tolist()).decode("ascii")


def batch(step):
    """Pieces of the text, other ones at each step, and the same whoever asks."""
    at = torch.randint(len(TEXT), (BATCH,), generator=torch.Generator().manual_seed(step))
    text = TEXT * (2 + LENGTH // len(TEXT))
    return torch.tensor([list(text[i : i + LENGTH].encode("ascii")) for i in at.tolist()], device=DEVICE)


def packed(model):
    """The folder that PEFT writes, as one file."""
    folder = os.path.join(os.environ["BERTH_SLOT"], "trained")
    model.save_pretrained(folder)
    with tarfile.open(f"{folder}.tar", "w") as tar:
        tar.add(folder, ".")
    return f"{folder}.tar"


def dump(state):
    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue()


def load(data):
    return None if data is None else torch.load(io.BytesIO(data), map_location=DEVICE)
