"""Who counts floating-point operations: PyTorch's counter, the analytic count of a transformer, the CPU itself."""
