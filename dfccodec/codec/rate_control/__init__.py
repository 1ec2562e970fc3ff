"""Rate control: the operating point of each clip, so that a whole video meets a size, a bitrate or a quality."""
