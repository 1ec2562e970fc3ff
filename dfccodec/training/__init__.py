"""Training of `mini`: footage in memory, the linear code, the frame transform, the fill network."""
