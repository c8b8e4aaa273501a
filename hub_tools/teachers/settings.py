"""Which teacher, and how it samples: the flat settings of a labelling run → the teacher."""

from dataclasses import dataclass, field

from .request import Teacher


TEACHERS = ("lexicon", "transformers", "vllm", "openai", "openai-batch", "ray", "recorded")


@dataclass
class TeacherSettings:
    """What decides a teacher. A setting that the chosen teacher does not read is ignored by it."""

    teacher: str = field(default="lexicon", metadata={"help": ", ".join(f"`{name}`" for name in TEACHERS)})
    model: str = field(default="", metadata={"help": "Hub id or folder of a causal LM, or the endpoint's model name"})
    model_revision: str = field(default="main", metadata={"help": "of the model; for an endpoint: what it serves"})
    tokenizer: str = field(default="", metadata={"help": "endpoints: Hub id of the tokenizer that counts its tokens"})
    max_new_tokens: int = field(default=512, metadata={"help": "longest reply"})
    temperature: float = field(default=0.0, metadata={"help": "0 decodes greedily"})
    top_p: float = field(default=1.0, metadata={"help": "sample from the likeliest tokens of so much probability"})
    seed: int = field(default=42, metadata={"help": "of the reviews' sample and of the teacher's sampling"})
    dtype: str = field(default="bfloat16", metadata={"help": "transformers, vllm: of the weights"})
    batch_size: int = field(default=8, metadata={"help": "transformers: prompts at a time"})
    chunk: int = field(default=1024, metadata={"help": "vllm, ray, openai-batch: requests that a crash may cost"})
    quantization: str = field(default="", metadata={"help": "vllm: e.g. `awq`, `gptq`, `fp8`"})
    tensor_parallel_size: int = field(default=1, metadata={"help": "vllm: GPUs that share each layer"})
    pipeline_parallel_size: int = field(default=1, metadata={"help": "vllm: groups of GPUs that share the layers"})
    max_model_len: int = field(default=0, metadata={"help": "vllm: most tokens of prompt and reply; 0: the model's"})
    gpu_memory_utilization: float = field(default=0.9, metadata={"help": "vllm: share of each GPU's memory"})
    prefix_caching: bool = field(default=True, metadata={"help": "vllm: read the prompts' shared beginning once"})
    endpoints: list[str] = field(
        default_factory=list, metadata={"help": "openai: base URLs, e.g. http://127.0.0.1:8000/v1; several share work"}
    )
    api_key_env: str = field(default="OPENAI_API_KEY", metadata={"help": "openai: variable that holds the key"})
    concurrency: int = field(default=64, metadata={"help": "openai: requests in flight, over all endpoints"})
    requests_per_minute: int = field(default=0, metadata={"help": "openai: of each endpoint; 0: no limit"})
    tokens_per_minute: int = field(default=0, metadata={"help": "openai: of each endpoint; 0: no limit"})
    timeout: float = field(default=120.0, metadata={"help": "openai: seconds until a request is given up"})
    attempts: int = field(default=6, metadata={"help": "openai: of one request, in one run"})
    poll_seconds: float = field(default=60.0, metadata={"help": "openai-batch: between two looks at a batch"})
    workers: int = field(default=1, metadata={"help": "ray: vllm engines at work"})
    ray_address: str = field(default="", metadata={"help": "ray: of the cluster, e.g. `auto`; empty: this machine"})


def make_teacher(settings: TeacherSettings) -> Teacher:
    """The teacher that the settings name. A library that only some teachers need is imported only for them.

    Raises:
        ValueError: an unknown teacher, or one without its model or endpoints.
    """
    if settings.teacher == "lexicon":
        from .lexicon import LexiconTeacher

        return LexiconTeacher()
    if settings.teacher not in TEACHERS or settings.teacher == "recorded":
        raise ValueError(f"teacher '{settings.teacher}' is unknown; allowed: {', '.join(TEACHERS)}.")
    if not settings.model:
        raise ValueError(
            f"teacher '{settings.teacher}' needs `model`: the Hub id or folder of a causal LM, or the "
            "name under which an endpoint serves it."
        )
    if settings.teacher == "transformers":
        from .transformers_lm import TransformersTeacher

        return TransformersTeacher(
            settings.model,
            settings.model_revision,
            settings.max_new_tokens,
            settings.temperature,
            settings.batch_size,
            settings.dtype,
            settings.seed,
            settings.top_p,
        )
    if settings.teacher == "vllm":
        from .vllm_lm import VllmTeacher

        return VllmTeacher(settings)
    if settings.teacher == "openai":
        from .endpoints.openai_endpoint import OpenAITeacher

        return OpenAITeacher(settings)
    if settings.teacher == "openai-batch":
        from .endpoints.openai_batch import OpenAIBatchTeacher

        return OpenAIBatchTeacher(settings)
    from .ray_cluster import RayTeacher

    return RayTeacher(settings)
