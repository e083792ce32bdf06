"""Which structure a `model_type` stands for, and which keys do not matter."""

from __future__ import annotations

from collections.abc import Callable

from steelyard.arch.fields import Fields
from steelyard.arch.readers import classic, hybrid, latent, mixture, variants
from steelyard.arch.readers.dense import FAMILIES, dense
from steelyard.arch.spec import Model

_BAILING = mixture.shared_experts(
    qk_norm="use_qk_norm",
    bias="use_qkv_bias",
    output_bias="use_bias",
    router_bias="moe_router_enable_expert_bias",
)

READERS: dict[str, Callable[[Fields], Model]] = {
    **{model_type: dense(family) for model_type, family in FAMILIES.items()},
    "bailing_moe": _BAILING,
    "bailing_moe_v2": _BAILING,
    "bamba": hybrid.bamba,
    "bloom": classic.bloom,
    "chatglm": classic.chatglm,
    "codegen": classic.gptj,
    "dbrx": mixture.dbrx,
    "deepseek": mixture.shared_experts(qk_norm=False, router_bias=False),
    "deepseek_ref": latent.deepseek_v4,
    "deepseek_v2": latent.deepseek(balanced=False),
    "deepseek_v3": latent.deepseek(),
    "deepseek_v32": latent.deepseek(indexed=True),
    "deepseek_v4": latent.deepseek_v4,
    "dots1": mixture.shared_experts(output_bias="attention_bias"),
    "ernie4_5_moe": mixture.ernie4_5_moe,
    "exaone_moe": mixture.shared_experts(output_bias="attention_bias", first_dense=1, period=4),
    "falcon": classic.falcon,
    "falcon_h1": hybrid.falcon_h1,
    "falcon_mamba": hybrid.mamba1,
    "flex_olmo": mixture.olmoe,
    "gemma4_text": variants.gemma4,
    "gemma4_unified_text": variants.gemma4,
    "glm4_moe": mixture.shared_experts(qk_norm="use_qk_norm", first_dense=1),
    "glm4v_moe_text": mixture.shared_experts(qk_norm=False, bias=("attention_bias", True), first_dense=1),
    "glm4_moe_lite": latent.deepseek(),
    "glm_moe_dsa": latent.deepseek(indexed=True),
    "gpt2": classic.gpt2,
    "gpt_bigcode": classic.gpt_bigcode,
    "gpt_neo": classic.gpt_neo,
    "gpt_oss": mixture.gpt_oss,
    "gptj": classic.gptj,
    "granitemoe": mixture.granite_moe,
    "granitemoehybrid": hybrid.granite_hybrid,
    "granitemoeshared": mixture.granite_moe,
    "hunyuan_v1_moe": mixture.hunyuan_v1_moe,
    "hy_v3": mixture.shared_experts(output_bias="attention_bias", first_dense=1),
    "jamba": hybrid.jamba,
    "kimi_k2": latent.deepseek(),
    "kimi_linear": latent.kimi_linear,
    "lfm2": hybrid.lfm2(experts=False),
    "lfm2_moe": hybrid.lfm2(experts=True),
    "llama4_text": mixture.llama4,
    "mamba": hybrid.mamba1,
    "mamba2": hybrid.mamba2_only,
    "mimo_v2_flash": variants.mimo_v2_flash,
    "minicpm3": latent.dense,
    "minimax": hybrid.minimax,
    "minimax_m2": mixture.minimax_m2,
    "minimax_m3": mixture.minimax_m3,
    "minimax_m3_vl_text": mixture.minimax_m3,
    "mistral4": latent.deepseek(),
    "mixtral": mixture.mixtral,
    "mpt": classic.mpt,
    "nemotron-nas": variants.nemotron_nas,
    "nemotron_h": hybrid.nemotron_h,
    "olmo_hybrid": hybrid.olmo_hybrid,
    "olmoe": mixture.olmoe,
    "opt": classic.opt,
    "phimoe": mixture.phimoe,
    "qwen2_moe": mixture.qwen2_moe,
    "qwen3_5_moe_text": hybrid.qwen_hybrid(experts=True),
    "qwen3_5_text": hybrid.qwen_hybrid(experts=False),
    "qwen3_moe": mixture.qwen3_moe,
    "qwen3_next": hybrid.qwen_hybrid(experts=True),
    "qwen3_omni_moe_text": mixture.qwen3_moe,
    "qwen3_vl_moe_text": mixture.qwen3_moe,
    "solar_open": mixture.shared_experts(qk_norm=False),
    "step3p5": mixture.step3,
    "step3p7": mixture.step3,
    "youtu": latent.dense,
}
"""`model_type` -> the structure it stands for."""

TEXT_PARTS = {
    "gemma3": "gemma3_text",
    "gemma4": "gemma4_text",
    "gemma4_unified": "gemma4_unified_text",
    "idefics3": "llama",
    "kimi_k25": "deepseek_v3",
    "llama4": "llama4_text",
    "llava": "llama",
    "minimax_m3_vl": "minimax_m3_vl_text",
    "mistral3": "mistral",
    "qwen2_5_vl": "qwen2_5_vl_text",
    "qwen2_vl": "qwen2_vl_text",
    "qwen3_5": "qwen3_5_text",
    "qwen3_5_moe": "qwen3_5_moe_text",
    "qwen3_vl": "qwen3_vl_text",
    "qwen3_vl_moe": "qwen3_vl_moe_text",
    "smolvlm": "llama",
}
"""`model_type`s of larger models -> the structure of the language model where the file names none."""

TEXT_KEYS = ("text_config", "llm_config", "language_config")
"""Where a larger model keeps the configuration of its language model."""

SAME_STRUCTURE = {
    "emu3_text_model": "llama",
    "exaone4_5_text": "exaone4",
    "hunyuan_vl_text": "hunyuan_v1_dense",
    "paddleocr_vl_text": "ernie4_5",
}
"""`model_type`s of language models in larger ones -> the structure that they share with models of their own."""

_IGNORED = """
identity and training:
    architectures auto_map model_type name_or_path transformers_version torch_dtype dtype initializer_range
    quantization_config pretraining_tp ep_size seq_aux aux_loss_alpha router_aux_loss_coef router_jitter_noise
    output_router_logits embd_pdrop resid_pdrop attn_pdrop emb_pdrop n_ctx init_std layerdrop input_jitter_noise
    z_loss_coefficient moe_loss_weight init_config for_training use_auxiliary_loss initializer_factor init_method
    gradient_checkpointing mtp_loss_scaling_factor tokenizer_name verbose finetuning_task
    moe_random_routing_dropped_token moe_drop_tokens router_z_loss_coef aux_loss_coef load_balance_loss_coef
    use_bfloat16 org_vocab_size
positions, a few operations per element whatever their values:
    rope_theta rope_scaling rope_parameters rope_local_base_freq rope_interleave rotary_dim partial_rotary_factor
    rotary initial_context_length original_max_position_embeddings use_mrope rotary_pct rotary_emb_base rope_pct
    position_embedding_type no_rope_layer_interval model_max_length max_seq_len max_seq_length seq_length
    rope_theta_local rope_ratio attn_rotary_emb attn_temperature_tuning floor_scale attn_scale mrope_section
    sliding_window_size llama_4_scaling_beta rope_percent rope_percentage rope_type use_rotary_pos_emb use_pos_enc
    position_embedding_xdrope offset_alibi alibi_bias_max rotary_percent global_rope_theta local_rope_theta
elementwise details that cost the same whatever their values:
    hidden_act hidden_activation activation activation_function rms_norm_eps layer_norm_epsilon layer_norm_eps
    norm_topk_prob n_group topk_group routed_scaling_factor scoring_func swiglu_limit query_pre_attn_scalar
    scale_attn_weights norm_eps norm_epsilon layernorm_epsilon mlp_hidden_act mamba_hidden_act residual_in_fp32
    embedding_multiplier logits_scaling residual_multiplier attention_multiplier softmax_scale norm_type logit_scale
    attention_softmax_in_fp32 scale_attention_softmax_in_fp32 scale_attn_by_inverse_layer_idx reorder_and_upcast_attn
    router_scaling_factor enable_moe_fp32_combine moe_router_dtype router_dtype time_step_limit time_step_min
    time_step_rank time_step_max time_step_floor time_step_scale time_step_init_scheme rescale_prenorm_residual
    swiglu_limits swiglu_limits_shared swiglu_alpha lm_head_multiplier key_multiplier attention_in_multiplier
    attention_out_multiplier mlp_multipliers ssm_multipliers ssm_in_multiplier ssm_out_multiplier mixer_rms_eps
    gate_norm_eps clip_qkv mup_width_scale use_rms_norm use_rmsnorm router_logit_softcapping mlp_expansion_factor
    normalization_function rms_norm fused_add_norm group_limited_greedy attn_logit_softcapping
    final_logit_softcapping norm_head norm_softmax score_function moe_renormalize route_scale route_norm mup_enabled
kernels and placement:
    use_mamba_kernels use_mambapy use_associative_scan num_logits_to_keep moe_shared_expert_overlap init_device
    attn_implementation _attn_implementation use_flash_attn pad_vocab_size_multiple tensor_parallel
    moe_implementation language_model_only cache_implementation bias_dropout_fusion masked_softmax_fusion
    skip_bias_add skip_bias_add_qkv calc_logits_for_entire_prompt ssm_cfg mamba_use_mlp unsloth_fixed unsloth_version
    fused_mlp fused_bias_fc use_xformers use_fused_rope use_fused_rms_norm use_fused_cross_entropy use_liger
text generation and other heads:
    use_cache temperature top_k top_p typical_p max_length length_penalty repetition_penalty num_beams
    num_beam_groups num_return_sequences return_dict id2label label2id task_specific_params summary_type
    summary_use_proj summary_proj_to_labels tokenizer_class prefix is_decoder torchscript diversity_penalty
    early_stopping no_repeat_ngram_size do_sample classifier_bias class_num pool_type skip_cls_token
    chat_template suppress_tokens begin_suppress_tokens num_labels problem_type
"""
IGNORED = frozenset(word for line in _IGNORED.splitlines() if not line.endswith(":") for word in line.split())
"""Keys that are known to change neither time nor memory."""

IGNORED_ENDINGS = ("_id", "_version", "_token_ids", "_token_index", "dropout", "_dropout_prob", "_first_dropout")
