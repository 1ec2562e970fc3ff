"""Fill policy `generate`: dropped frames by the generator `mini-regen` from kept frames and a motion latent."""
