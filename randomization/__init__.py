"""What is uncertain: distributions, randomization terms, and the noise of sensing and acting."""
