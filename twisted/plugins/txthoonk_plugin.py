"""What lets ``twistd thoonk`` be."""

from twisted.application.service import ServiceMaker

thoonk = ServiceMaker("txThoonk", "txthoonk.tap", "Workers on the jobs of Thoonk.", "thoonk")
