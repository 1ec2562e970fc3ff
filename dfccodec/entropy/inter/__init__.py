"""Inter coding: latents predicted from the previous kept frame by block motion compensation (SPEC.md 7.7)."""
