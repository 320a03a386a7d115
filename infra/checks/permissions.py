def stage():
    """todo"""
