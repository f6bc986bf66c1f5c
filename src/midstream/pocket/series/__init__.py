"""The pocket world of time series: three lines with trends, waves, levels and at most one fault."""
