"""Integer latents <-> bytes. numpy and zstandard; never torch."""
