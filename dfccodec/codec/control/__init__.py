"""Rate control: which operating point each clip gets, so that a whole video meets a size, a bitrate or a quality."""
