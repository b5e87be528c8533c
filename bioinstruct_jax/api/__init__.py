"""One client of OpenAI-compatible servers, for the teacher and for the judge: limits, retries, budget, journal."""
