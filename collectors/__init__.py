"""What observes a job: spans, the sampler, the meters, the command wrapper."""
