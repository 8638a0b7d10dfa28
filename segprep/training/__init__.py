"""Use of a store in training; no module here is imported, nor PyTorch, JAX or Keras, before it is asked for."""
