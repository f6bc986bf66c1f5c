"""Results of a sweep as figures and a page, made from the table alone."""
