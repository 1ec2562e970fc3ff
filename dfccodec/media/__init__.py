"""Input and output of frames, audio, subtitles and timestamps. The only package that imports PyAV."""
