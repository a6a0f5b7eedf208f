"""Which devices compute in bfloat16."""

import torch


def has_bf16(device: torch.device) -> bool:
    """Whether the device computes bfloat16 natively; emulated, it would be slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("bf16"))
