"""Names of transformers: of timm, and of the authors' `swin_transformer.py`."""

from keras_rescnet.convert.naming import naming


def _token_block(stage, block):
    return f"{'blocks_token_only' if stage == 'class' else 'blocks'}.{block}"


def _window_block(stage, block):
    layer = f"layers.{stage - 1 if isinstance(stage, int) else stage}"
    return layer if block is None else f"{layer}.blocks.{block}"


def _window_block_of_timm(stage, block):
    """As above, but a stage begins with the merging that the one before ends with."""
    return f"layers.{stage}" if block is None else _window_block(stage, block)


_OUTER = {"patch_embedding": "patch_embed.proj", "norm": "norm", "logits": "head"}
_TOKENS = {"class_token": "cls_token", "position_embedding": "pos_embed"}
_PATCHES = {"patch_norm": "patch_embed.norm"}
_BLOCK = {
    "norm1": "norm1",
    "attention": "attn",
    "attention/qkv": "attn.qkv",
    "attention/query": "attn.q",
    "attention/key": "attn.k",
    "attention/value": "attn.v",
    "attention/mix_scores": "attn.proj_l",
    "attention/mix_weights": "attn.proj_w",
    "attention/projection": "attn.proj",
    "attention_scale": "gamma_1",
    "norm2": "norm2",
    "mlp_1": "mlp.fc1",
    "mlp_2": "mlp.fc2",
    "mlp_scale": "gamma_2",
}
_MERGE = {"merge/norm": "downsample.norm", "merge/reduction": "downsample.reduction"}

NAMINGS = (
    naming(_OUTER | _TOKENS, _token_block, _BLOCK),
    naming(_OUTER | _PATCHES, _window_block, _BLOCK | _MERGE),
    naming(
        _OUTER | _PATCHES | {"logits": "head.fc"},
        _window_block_of_timm,
        _BLOCK | _MERGE,
    ),
)
