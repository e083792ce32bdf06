"""Which structure a `model_type` stands for, and which keys do not matter."""

from __future__ import annotations

from collections.abc import Callable

from steelyard.arch import dense_readers as dense
from steelyard.arch import sparse_readers as sparse
from steelyard.arch.fields import Fields
from steelyard.arch.spec import Model

READERS: dict[str, Callable[[Fields], Model]] = {
    "deepseek_v3": sparse.deepseek_v3,
    "falcon": dense.falcon,
    "gemma3_text": dense.gemma3,
    "gpt2": dense.gpt2,
    "gpt_oss": sparse.gpt_oss,
    "gptj": dense.gptj,
    "kimi_k2": sparse.deepseek_v3,
    "llama": dense.llama,
    "llama4_text": sparse.llama4,
    "mimo": dense.mimo,
    "minimax_m2": sparse.minimax_m2,
    "mistral": dense.mistral,
    "mixtral": sparse.mixtral,
    "qwen2": dense.qwen2,
    "qwen3": dense.qwen3,
    "qwen3_moe": sparse.qwen3_moe,
    "qwen3_vl_moe_text": sparse.qwen3_moe,
    "qwen3_vl_text": dense.qwen3,
}
"""`model_type` -> the structure it stands for."""

TEXT_PARTS = ("gemma3", "kimi_k25", "llama4", "qwen3_vl", "qwen3_vl_moe")
"""`model_type`s whose language model stands in `text_config`."""

_IGNORED = """
identity and training:
    architectures auto_map model_type name_or_path transformers_version torch_dtype dtype initializer_range
    quantization_config pretraining_tp ep_size seq_aux aux_loss_alpha router_aux_loss_coef router_jitter_noise
    output_router_logits embd_pdrop resid_pdrop attn_pdrop n_ctx
positions, a few operations per element whatever their values:
    rope_theta rope_scaling rope_parameters rope_local_base_freq rope_interleave rotary_dim partial_rotary_factor
    rotary initial_context_length original_max_position_embeddings use_mrope
elementwise details that cost the same whatever their values:
    hidden_act hidden_activation activation activation_function rms_norm_eps layer_norm_epsilon layer_norm_eps
    norm_topk_prob n_group topk_group routed_scaling_factor scoring_func swiglu_limit query_pre_attn_scalar
    scale_attn_weights
text generation:
    use_cache temperature top_k top_p typical_p max_length length_penalty repetition_penalty num_beams
    num_beam_groups num_return_sequences return_dict id2label label2id task_specific_params summary_type
    summary_use_proj summary_proj_to_labels tokenizer_class
"""
IGNORED = frozenset(word for line in _IGNORED.splitlines() if not line.endswith(":") for word in line.split())
"""Keys that are known to change neither time nor memory."""

IGNORED_ENDINGS = ("_token_id", "_token_index", "dropout", "_dropout_prob", "_first_dropout")
