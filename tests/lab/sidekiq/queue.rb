# frozen_string_literal: true

# Sidekiq as a producer and as a witness: reads steps as JSON from its only argument, prints one answer for each.
require_relative "jobs"
require "sidekiq/api"
require "json"

def answer(step)
  case step["command"]
  when "push"
    numbers = step["numbers"]
    at = step["at"]
    jids = numbers.map do |number|
      item = { "class" => Object.const_get(step["class"]), "args" => [number], "queue" => step["queue"] }
      item["at"] = at if at
      Sidekiq::Client.push(item)
    end
    jids
  when "counts"
    {
      "queues" => Sidekiq::Stats::Queues.new.lengths,
      "retry" => Sidekiq::RetrySet.new.group_by(&:queue).transform_values(&:size),
      "schedule" => Sidekiq::ScheduledSet.new.group_by(&:queue).transform_values(&:size),
      "dead" => Sidekiq::DeadSet.new.group_by(&:queue).transform_values(&:size),
      "processes" => Sidekiq::ProcessSet.new(false).size,
      "work" => Sidekiq::WorkSet.new.group_by { |_, _, work| work["queue"] }.transform_values(&:size)
    }
  when "latency"
    Sidekiq::Queue.new(step["queue"]).latency
  when "jobs"
    Sidekiq::Queue.new(step["queue"]).map { |job| job.item }
  when "dead"
    Sidekiq::DeadSet.new.map { |job| job.item }
  when "retry_all"
    Sidekiq::DeadSet.new.retry_all
    true
  else
    raise ArgumentError, "unknown command #{step["command"]}"
  end
end

puts JSON.generate(JSON.parse(ARGV.fetch(0)).map { |step| answer(step) })
