"""Synchformer's parameters: theirs -> ours. Both published files have these names, and no others."""

from __future__ import annotations

from frieren.nets.scorers.synchformer import SynchformerConfig
from frieren.official.tables import Table, under


def synchformer_table(config: SynchformerConfig) -> Table:
    """Two towers, two projections, and the transformer that compares."""
    modules = {
        **under("vfeat_extractor", "video", video_modules(config)),
        **under("afeat_extractor", "sound", sound_modules(config)),
        "vproj": "project_video",
        "aproj": "project_sound",
        **under("transformer", "classifier", classifier_modules(config)),
    }
    # The embedding of single images is a rest of image transformers: it is in the files, and not used.
    return Table(modules, ("vfeat_extractor.patch_embed.*",), prefixes=("module.",))


def video_modules(config: SynchformerConfig) -> dict[str, str]:
    """MotionFormer."""
    block = {
        "norm1": "norm_space",
        "norm2": "norm",
        "norm3": "norm_time",
        "mlp.fc1": "feed_forward.widen",
        "mlp.fc2": "feed_forward.narrow",
    }
    for theirs, ours in (("attn", "space"), ("timeattn", "time")):
        block |= {f"{theirs}.qkv": f"{ours}.qkv", f"{theirs}.proj": f"{ours}.out"}
    modules = {"": "", "patch_embed_3d.proj": "patches", "norm": "norm", **summary_modules("spatial_attn_agg")}
    for index in range(config.video_depth):
        modules |= under(f"blocks.{index}", f"blocks.{index}", block)
    return modules


def sound_modules(config: SynchformerConfig) -> dict[str, str]:
    """AST."""
    block = {
        "layernorm_before": "norm1",
        "layernorm_after": "norm2",
        **{f"attention.attention.{name}": f"attention.{name}" for name in ("query", "key", "value")},
        "attention.output.dense": "attention.out",
        "intermediate.dense": "feed_forward.widen",
        "output.dense": "feed_forward.narrow",
    }
    modules = {
        "ast.embeddings": "",
        "ast.embeddings.patch_embeddings.projection": "patches",
        "ast.layernorm": "norm",
        **summary_modules("freq_attn_agg"),
    }
    for index in range(config.sound_depth):
        modules |= under(f"ast.encoder.layer.{index}", f"blocks.{index}", block)
    return modules


def summary_modules(theirs: str) -> dict[str, str]:
    """The layer that makes one token of many; its parts are PyTorch's on either side."""
    parts = ("", "self_attn", "self_attn.out_proj", "linear1", "linear2", "norm1", "norm2")
    return under(theirs, "summary", {part: part for part in parts})


def classifier_modules(config: SynchformerConfig) -> dict[str, str]:
    """The transformer that compares."""
    block = {
        "ln1": "norm1",
        "ln2": "norm2",
        **{f"attn.{name}": f"attention.{name}" for name in ("query", "key", "value")},
        "attn.proj": "attention.out",
        "mlp.0": "feed_forward.widen",
        "mlp.2": "feed_forward.narrow",
    }
    modules = {
        "": "",
        "vis_in_lnorm": "norm_video",
        "aud_in_lnorm": "norm_sound",
        "pos_emb_cfg": "places",
        "ln_f": "norm_out",
        "off_head": "classify",
    }
    for index in range(config.comparing_depth):
        modules |= under(f"blocks.{index}", f"blocks.{index}", block)
    return modules
