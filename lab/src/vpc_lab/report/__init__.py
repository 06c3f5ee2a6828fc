"""The page of a run, from its record and the judge's verdict: `vpc_lab.report.page.write`."""
