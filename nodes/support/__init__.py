"""Code that the nodes share: the host, models, inputs and checks. Each node has its own file one folder up."""
